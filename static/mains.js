/* Mains: the portal's one script. Everything works without it except the console; it only makes pages livelier.
   Live events carry ids, never content: whatever shows them is fetched again through the same view. */
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("script");

  /* ---- theme: set before the first paint ---- */
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    const chosen = root.dataset.theme;
    root.dataset.bsTheme = chosen === "dark" || (chosen === "auto" && dark.matches) ? "dark" : "light";
  };
  paint();
  dark.addEventListener("change", paint);
  const markTheme = () => document.querySelectorAll("[data-theme-choice]").forEach((button) => {
    button.setAttribute("aria-pressed", button.dataset.themeChoice === root.dataset.theme);
  });
  const chooseTheme = (theme) => {
    root.dataset.theme = theme;
    document.cookie = `theme=${theme};path=/;max-age=31536000;samesite=lax`;
    paint();
    markTheme();
  };

  /* ---- live: hints mark elements, marked elements are fetched again when nobody is using them ---- */
  const DEBOUNCE_MS = 60, LONGEST_BACKOFF_MS = 15000, MOST_ROWS = 20;
  // Element → the ids of its rows that changed, or null: all of it.
  const due = new Map();
  let timer = 0, failures = 0, hasBeenOpen = false, lostSince = 0;

  const isInUse = (element) => {
    // A part that is morphed keeps focus, menus and ticked boxes by itself (lists.js): only a closed drawer waits.
    if ((element.getAttribute("hx-swap") || "").startsWith("morph")) {
      return Boolean(element.dataset.liveWithin) && !document.getElementById(element.dataset.liveWithin).open;
    }
    const selection = getSelection();
    return element.querySelector("details[open][data-menu]") !== null
      || (element.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]),select,textarea"))
      || (selection && !selection.isCollapsed && element.contains(selection.anchorNode))
      || (element.dataset.liveWithin && !document.getElementById(element.dataset.liveWithin).open);
  };
  // htmx keeps only the last of what is asked while it waits for an answer.
  const isBusy = (element) => isInUse(element) || element.classList.contains("htmx-request")
    || element.querySelector(".htmx-request") !== null;
  const wants = (element, kind, id) => element.dataset.live.split(" ").some((word) => word === kind || word === `${kind}:${id}`);
  // A list whose rows are of the hint's kind fetches these rows alone; the server answers with all when that is not enough.
  const mark = (element, kind, id) => {
    const rows = due.has(element) ? due.get(element) : new Set();
    due.set(element, rows && kind !== null && kind === element.dataset.rows && rows.size < MOST_ROWS ? rows.add(id) : null);
  };
  const flush = () => {
    clearTimeout(timer);
    timer = 0;
    if (document.hidden) return;  // nobody looks: once, when somebody does
    // Those that bring another part along come first.
    const inOrder = [...due].sort(([one], [other]) => Boolean(other.dataset.liveAlong) - Boolean(one.dataset.liveAlong));
    for (const [element, rows] of inOrder) {
      if (!due.has(element)) continue;
      if (!element.isConnected) {
        due.delete(element);
        // Replaced meanwhile by an answer that may be older than the hint.
        const successor = element.id && document.getElementById(element.id);
        if (successor?.dataset.live) due.set(successor, null);
        continue;
      }
      if (isBusy(element)) continue;
      due.delete(element);
      const along = document.getElementById(element.dataset.liveAlong), isAlong = due.has(along) && !isBusy(along);
      if (isAlong) due.delete(along);
      if (window.htmx) htmx.trigger(element, "live", {rows: rows && [...rows].join(" "), along: isAlong && along.id});
    }
    if (due.size) schedule(1000);
  };
  const schedule = (delay) => { if (!timer) timer = setTimeout(flush, delay); };
  const changed = (kind, id) => {
    document.querySelectorAll("[data-live]").forEach((element) => { if (kind === null || wants(element, kind, id)) mark(element, kind, id); });
    if (due.size) schedule(DEBOUNCE_MS);
    document.body.dispatchEvent(new CustomEvent("live", {detail: {kind, id}}));
  };
  const showLost = () => {
    if (document.getElementById("lost") || !document.getElementById("notices")) return;
    const notice = document.createElement("div");
    notice.id = "lost";
    notice.className = "notice notice-warning";
    notice.textContent = document.body.dataset.lost;
    document.getElementById("notices").prepend(notice);
  };
  const connect = () => {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/live/`);
    socket.onopen = () => {
      document.getElementById("lost")?.remove();
      if (hasBeenOpen || failures) changed(null);
      hasBeenOpen = true;
      failures = lostSince = 0;
    };
    socket.onmessage = (message) => { const hint = JSON.parse(message.data); changed(hint.kind, hint.id); };
    socket.onclose = (event) => {
      if (event.code === 4401) { location.reload(); return; }
      failures += 1;
      lostSince ||= Date.now();
      if (Date.now() - lostSince > 6000) showLost();
      // Without the socket the page still keeps up, only more slowly.
      if (failures > 1) changed(null);
      setTimeout(connect, Math.min(LONGEST_BACKOFF_MS, 400 * 2 ** Math.min(failures, 6)) * (0.7 + Math.random() * 0.6));
    };
  };

  /* ---- asking before what cannot be undone ---- */
  const ask = (form) => {
    const dialog = document.getElementById("confirm"), wanted = form.dataset.confirmName;
    const input = document.getElementById("confirm-input"), yes = document.getElementById("confirm-yes");
    document.getElementById("confirm-title").textContent = form.dataset.confirmTitle || "";
    document.getElementById("confirm-text").textContent = form.dataset.confirm;
    document.getElementById("confirm-name").hidden = !wanted;
    document.getElementById("confirm-wanted").textContent = wanted || "";
    yes.textContent = form.dataset.confirmYes;
    yes.classList.toggle("btn-bad", Boolean(wanted) || form.dataset.confirmTone === "bad");
    input.value = "";
    const check = () => { yes.disabled = Boolean(wanted) && input.value.trim() !== wanted.trim(); };
    input.oninput = check;
    check();
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue !== "yes") return;
      // A live update may have redrawn the page meanwhile: a form that is not in it any more would submit nothing.
      if (!form.isConnected) { form.hidden = true; document.body.append(form); }
      put(form, "confirmed", "1");
      if (wanted) put(form, "typed_name", input.value);
      form.dataset.asked = "yes";
      form.requestSubmit();
    };
    dialog.showModal();
    (wanted ? input : yes).focus();
  };
  const put = (form, name, value) => {
    let field = form.querySelector(`input[type=hidden][name="${name}"]`);
    if (!field) {
      field = Object.assign(document.createElement("input"), {type: "hidden", name});
      form.append(field);
    }
    field.value = value;
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.confirm && form.dataset.asked !== "yes") {
      event.preventDefault();
      event.stopImmediatePropagation();
      form.closest("details[data-menu]")?.removeAttribute("open");
      ask(form);
      return;
    }
    delete form.dataset.asked;
    if (form.dataset.once !== undefined) setTimeout(() => form.querySelectorAll("button[type=submit], button:not([type])").forEach((one) => { one.disabled = true; }));
  }, true);

  /* ---- notices: at most three; those that only confirm go by themselves, errors stay until they are closed ---- */
  const MOST_NOTICES = 3, CONFIRMED_MS = 6000, LEAVING_MS = 250;
  const leave = (notice) => {
    notice.classList.add("is-leaving");
    setTimeout(() => notice.remove(), LEAVING_MS);
  };
  const leaveLater = (notice) => setTimeout(() => {
    if (notice.matches(":hover, :focus-within")) leaveLater(notice);
    else leave(notice);
  }, CONFIRMED_MS);
  const isLasting = (notice) => notice.matches(".notice-error, .notice-warning");
  const tidyNotices = (place) => {
    const shown = [...place.querySelectorAll("[data-notice]:not(.is-leaving)")];
    const spare = [...shown.filter((one) => !isLasting(one)), ...shown.filter(isLasting)];
    spare.slice(0, Math.max(0, shown.length - MOST_NOTICES)).forEach(leave);
    shown.filter((one) => !isLasting(one) && !one.dataset.goes).forEach((one) => { one.dataset.goes = "yes"; leaveLater(one); });
  };

  /* ---- small things ---- */
  // Notes beside what they explain open to the other side where there is no room, and Escape closes them.
  const placeNote = (event) => {
    const owner = event.target.closest?.(".why, .denied"), note = owner?.querySelector(":scope > .why-text");
    if (!note) return;
    owner.classList.remove("is-end");
    owner.classList.toggle("is-end", note.getBoundingClientRect().right > root.clientWidth - 8);
  };
  document.addEventListener("pointerover", placeNote);
  document.addEventListener("focusin", placeNote);
  const quiet = (event) => event.target.closest?.(".is-quiet")?.classList.remove("is-quiet");
  document.addEventListener("pointerout", quiet);
  document.addEventListener("focusout", quiet);
  const copy = async (button) => {
    const source = button.dataset.copyFrom ? document.getElementById(button.dataset.copyFrom).textContent : button.dataset.copy;
    try {
      await navigator.clipboard.writeText(source);
    } catch {  // an address without TLS has no clipboard
      const area = Object.assign(document.createElement("textarea"), {value: source});
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.classList.add("is-done");
    setTimeout(() => button.classList.remove("is-done"), 2000);
    const label = button.dataset.copied ? button.querySelector("span") : null;
    if (!label || label.textContent === button.dataset.copied) return;
    const before = label.textContent;
    label.textContent = button.dataset.copied;
    setTimeout(() => { label.textContent = before; }, 2000);
  };
  const openRail = (isOpen) => {
    const rail = document.getElementById("rail"), toggle = document.querySelector(".rail-toggle");
    if (!rail || rail.classList.contains("is-open") === isOpen) return;
    rail.classList.toggle("is-open", isOpen);
    toggle.setAttribute("aria-expanded", isOpen);
    (isOpen ? rail.querySelector("a") : toggle).focus();
  };
  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest(selector);
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
    const rail = document.getElementById("rail");
    if (rail?.classList.contains("is-open") && !rail.contains(event.target) && !at(".rail-toggle")) openRail(false);
    if (at("[data-theme-choice]")) chooseTheme(at("[data-theme-choice]").dataset.themeChoice);
    else if (at("[data-copy], [data-copy-from]")) copy(at("[data-copy], [data-copy-from]"));
    else if (at("[data-dismiss]")) leave(at("[data-notice]"));
    else if (at("[data-close]")) at("dialog").close();
    else if (at(".rail-toggle")) { event.preventDefault(); openRail(!rail.classList.contains("is-open")); }
    else if (at("[data-drawer]") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const drawer = document.getElementById(at("[data-drawer]").dataset.drawer);
      drawer.showModal();
      drawer.dispatchEvent(new CustomEvent("mains:open"));
    } else if (event.target.matches("dialog.drawer, dialog.palette")) event.target.close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    openRail(false);
    document.querySelectorAll(".why:is(:hover, :focus), .denied:is(:hover, :focus)").forEach((note) => note.classList.add("is-quiet"));
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-filters] select")) event.target.form.requestSubmit();
    if (event.target.matches("[data-reload-on-change]")) event.target.form.requestSubmit(event.target.form.querySelector("[name=preview]"));
  });

  document.addEventListener("toggle", (event) => {
    const filter = event.target.open && event.target.querySelector?.(".menu-filter");
    if (filter && matchMedia("(pointer: fine)").matches) filter.focus();
  }, true);

  // The rail is longer than many a window, and each page would begin at its top: whoever works at its end scrolls to it each time.
  const showCurrent = () => {
    const rail = document.getElementById("rail"), current = rail?.querySelector("[aria-current]");
    if (current && current.offsetTop + current.offsetHeight > rail.clientHeight) rail.scrollTop = current.offsetTop - rail.clientHeight / 2;
  };

  document.addEventListener("DOMContentLoaded", () => {
    markTheme();
    showCurrent();
    const notices = document.getElementById("notices");
    if (notices) {
      tidyNotices(notices);
      new MutationObserver(() => tidyNotices(notices)).observe(notices, {childList: true});
    }
    document.body.addEventListener("mains:changed", () => changed(null));
    document.addEventListener("visibilitychange", () => { if (due.size) flush(); });
    document.body.addEventListener("htmx:configRequest", (event) => {
      const {elt, headers, triggeringEvent} = event.detail;
      const {rows, along} = triggeringEvent?.type === "live" && triggeringEvent.detail || {};
      if (triggeringEvent?.type === "live") headers.Live = "1";  // it is nobody's click
      if (rows) Object.assign(headers, {"Live-Rows": rows, "Live-Frame": elt.dataset.frame});
      if (along) headers["Live-Along"] = along;
    });
    document.body.addEventListener("htmx:afterRequest", (event) => {
      const {elt, successful} = event.detail;
      if (!successful && elt.dataset.rows) due.set(elt, null);  // which rows it was is forgotten
      if (due.has(elt) && successful) flush();
    });
    document.body.addEventListener("htmx:afterRequest", (event) => { if (event.detail.requestConfig?.verb === "post" && !event.target.closest("[data-quiet]")) changed(null); });
    document.body.addEventListener("htmx:responseError", (event) => { if (event.detail.xhr.status === 401) location.reload(); });
    if (document.querySelector("[data-live]")) connect();
  });
})();
