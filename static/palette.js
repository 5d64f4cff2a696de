/* The palette (Ctrl-K, ⌘K or "/"): a combobox whose list the portal draws. Focus stays in the text field;
   arrows move the choice, Enter follows it, Escape closes. Without a script the button is a link to the search page. */
(() => {
  "use strict";
  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const input = document.getElementById("palette-input"), list = document.getElementById("palette-list");
  let asked = null, shownFor = null, isEnterDue = false;

  const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
  document.querySelectorAll("kbd[data-keys]").forEach((element) => { if (isMac) element.textContent = "⌘K"; });

  const options = () => [...list.querySelectorAll("[role=option]")];
  const chosen = () => list.querySelector("[aria-selected=true]");
  const choose = (option) => {
    chosen()?.setAttribute("aria-selected", "false");
    if (!option) { input.removeAttribute("aria-activedescendant"); return; }
    option.setAttribute("aria-selected", "true");
    input.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({block: "nearest"});
  };
  const move = (by) => {
    const all = options(), now = all.indexOf(chosen());
    if (all.length) choose(all[(now + by + all.length) % all.length]);
  };
  const open = () => {
    if (dialog.open) { dialog.close(); return; }
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => { menu.open = false; });
    dialog.showModal();
    input.focus();
    input.select();
    dialog.dispatchEvent(new CustomEvent("mains:open"));
  };

  const isTyping = (element) => element.matches("input,textarea,select,[contenteditable]") || element.closest(".console");
  document.addEventListener("keydown", (event) => {
    const isK = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
    const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !isTyping(event.target) && !document.querySelector("dialog[open]");
    if ((!isK && !isSlash) || event.target.closest(".console") || document.querySelector("dialog[open]:not(#palette)")) return;
    event.preventDefault();
    open();
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;  // Enter ends a Chinese word, it chooses nothing
    const moves = {ArrowDown: 1, ArrowUp: -1};
    if (event.key in moves) { event.preventDefault(); move(moves[event.key]); }
    else if (event.key === "Enter") {
      event.preventDefault();
      // What is listed may still belong to an earlier text.
      if (shownFor === input.value) chosen()?.click();
      else isEnterDue = true;
    }
  });
  list.addEventListener("pointermove", (event) => {
    const option = event.target.closest("[role=option]");
    if (option && option !== chosen()) choose(option);
  });
  input.addEventListener("htmx:beforeRequest", () => { asked = input.value; });
  list.addEventListener("htmx:afterSwap", () => {
    shownFor = asked;
    choose(options()[0]);
    if (isEnterDue && shownFor === input.value) { isEnterDue = false; chosen()?.click(); }
  });
  dialog.addEventListener("close", () => { isEnterDue = false; });
})();
