/* Passkeys: a button in a form marked `data-passkey` asks the browser, and sends its answer in the field `credential`.
   "create": a new one, "get": one of the person's, "login": whichever the browser finds. */
(() => {
  "use strict";
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0)).buffer;
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const keys = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  const created = async (options, form) => {
    const instead = form.elements.passwordless.checked;
    const publicKey = {
      ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: keys(options.excludeCredentials),
      authenticatorSelection: {
        ...options.authenticatorSelection, residentKey: instead ? "required" : "discouraged", requireResidentKey: instead,
        ...(instead ? { userVerification: "required" } : {}),
      },
    };
    const made = await navigator.credentials.create({ publicKey });
    return {
      ...common(made), response: {
        clientDataJSON: text(made.response.clientDataJSON), attestationObject: text(made.response.attestationObject),
        transports: made.response.getTransports ? made.response.getTransports() : [],
      },
    };
  };

  const proved = async (options) => {
    const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: keys(options.allowCredentials) };
    const found = await navigator.credentials.get({ publicKey });
    const { clientDataJSON, authenticatorData, signature, userHandle } = found.response;
    return {
      ...common(found), response: {
        clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature),
        userHandle: userHandle ? text(userHandle) : null,
      },
    };
  };

  const common = (credential) => ({
    type: credential.type, id: credential.id, rawId: text(credential.rawId),
    authenticatorAttachment: credential.authenticatorAttachment, clientExtensionResults: credential.getClientExtensionResults(),
  });

  const optionsOf = async (form) => {
    if (form.dataset.passkey !== "login") return JSON.parse(form.querySelector("[type='application/json']").textContent).publicKey;
    const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error("no options");
    return (await answer.json()).request_options.publicKey;
  };

  const why = (error) => {
    if (/^[\d.]+$|:/.test(location.hostname.replace(/[[\]]/g, ""))) return "numbered";
    if (!window.isSecureContext) return "insecure";
    if (!window.PublicKeyCredential) return "unsupported";
    return { NotAllowedError: "refused", InvalidStateError: "known" }[error && error.name] || "failed";
  };

  document.querySelectorAll("form[data-passkey]").forEach((form) => {
    const said = form.querySelector("[data-passkey-said]"), button = form.querySelector("[data-passkey-button]");
    button.addEventListener("click", async () => {
      said.hidden = true;
      button.disabled = true;
      try {
        const options = await optionsOf(form);
        const credential = form.dataset.passkey === "create" ? await created(options, form) : await proved(options);
        form.elements.credential.value = JSON.stringify(credential);
        form.submit();
      } catch (error) {
        said.querySelector("span").textContent = said.dataset[why(error)];
        said.hidden = false;
        button.disabled = false;
      }
    });
  });
})();
