/* What the screen and the serial console have in common: how the state is told, and how a ticket is asked for. A ticket is asked for
   anew for every connection and travels in the websocket's subprotocol, never in the address. A link's secret is the fragment of
   the page's address: no server sees it but in the body that asks for a ticket. */
export const opened = (panel, type) => {
  const words = panel.dataset, over = panel.querySelector("[data-over]"), viewOnly = words.viewOnly === "yes";
  // From the screen to the serial console and back by the same link.
  if (viewOnly) document.querySelectorAll("[data-keeps-link]").forEach((link) => { link.hash = location.hash; });

  const say = (tone, text, {detail = "", canRetry = false, code = 0} = {}) => {
    const state = panel.querySelector("[data-status]");
    state.className = `state state-${tone}`;
    state.querySelector("[data-status-text]").textContent = text;
    over.hidden = tone === "ok";
    over.querySelector("[data-over-text]").textContent = detail || text;
    // A link that was refused once is refused for good.
    const isFinal = viewOnly && tone === "bad" && code === 4403;
    panel.querySelectorAll("[data-connect]").forEach((button) => { button.hidden = isFinal || (over.contains(button) && !canRetry); });
    panel.querySelectorAll("[data-take-over]").forEach((button) => { button.hidden = tone !== "bad" || code !== 4423; });
    // Keys and pasted text go nowhere without a connection.
    panel.querySelectorAll("[data-needs-screen]").forEach((control) => { control.disabled = tone !== "ok"; });
    document.querySelectorAll("[data-while-connected]").forEach((hint) => { hint.hidden = tone !== "ok"; });
    panel.dataset.state = tone === "ok" ? "connected" : tone;
  };
  // Who has it open is told beside it, and fetched again.
  const tell = () => document.body.dispatchEvent(new CustomEvent("mains:console"));
  const reasonOf = (code, why = "") => (why === "too_many_consoles" && words.reasonTooMany) || words[`reason${code}`] || words.reasonLost;

  /** A websocket that shows a new ticket. What is wrong is told in the websocket's close codes: 409 is 4409. */
  const socket = async ({takeOver = false} = {}) => {
    const form = new URLSearchParams({type, take_over: takeOver ? "yes" : ""});
    if (viewOnly) {
      const link = location.hash.slice(1);
      if (!link) throw Object.assign(new Error(words.noLink), {code: 4403});
      form.set("link", link);
    }
    const answer = await fetch(words.ticketUrl, {
      method: "POST", credentials: "same-origin", headers: {"X-CSRFToken": words.csrf, "Accept": "application/json"}, body: form,
    });
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(body.detail || reasonOf(4000 + answer.status)), {code: 4000 + answer.status});
    const address = new URL(body.ws, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    return new WebSocket(address, ["binary", `ticket.${body.ticket}`]);
  };

  /** Call `again` when the instance was started in this very page. */
  const follow = (again) => {
    let following = 0;
    document.body.addEventListener("live", (event) => {
      const {kind, id} = event.detail;
      if (kind !== null && !(kind === "instance" && id === words.instance)) return;
      clearTimeout(following);
      following = setTimeout(again, 800);
    });
  };
  return {words, viewOnly, say, tell, reasonOf, socket, follow};
};
