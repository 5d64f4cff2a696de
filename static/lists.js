/* Lists: what a live update leaves to the reader, the selection, and the dialog of a verb on many rows.
   Live parts with hx-swap="morph:…" are changed in place: focus, scroll and unchanged nodes stay as they are. */
(() => {
  "use strict";
  // What the reader holds is the reader's: what is ticked, typed, chosen or open stays so when the page is drawn anew.
  const HELD = new Set(["checked", "value", "selected", "open"]);
  const isHeld = (name, element) => HELD.has(name) && element.matches("input:not([type=hidden]),option,textarea,select,details,dialog")
    && !(name === "value" && element.matches("[type=checkbox],[type=radio],option"));
  Idiomorph.defaults.ignoreActiveValue = true;
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) => (isHeld(name, element) ? false : undefined);

  // An open menu stays as it was opened. Its verbs are fetched when it is opened, so they fit the state of that moment.
  Idiomorph.defaults.callbacks.beforeNodeMorphed = (element) => !(element.matches?.("details[data-menu][open] > .menu-panel"));
  document.addEventListener("toggle", (event) => {
    const panel = event.target.matches("details[data-menu][open]") && event.target.querySelector(":scope > [hx-get]");
    if (panel) htmx.trigger(panel, "mains:menu");
  }, true);

  const boxesOf = (list) => [...list.querySelectorAll("[data-bulk-item]")];
  const recount = (list) => {
    const boxes = boxesOf(list), ticked = boxes.filter((box) => box.checked).length;
    list.querySelectorAll("[data-bulk-count]").forEach((element) => { element.textContent = ticked; });
    list.querySelectorAll("[data-bulk-all]").forEach((all) => {
      all.checked = ticked > 0 && ticked === boxes.length;
      all.indeterminate = ticked > 0 && ticked < boxes.length;
    });
  };
  const tickAll = (list, isTicked) => { boxesOf(list).forEach((box) => { box.checked = isTicked; }); recount(list); };
  const lists = () => document.querySelectorAll("[data-bulk]");

  let last = null;
  document.addEventListener("click", (event) => {
    const close = event.target.closest("[data-close-or-go]"), opened = close?.closest("dialog");
    if (opened) { event.preventDefault(); opened.close(); return; }
    const list = event.target.closest("[data-bulk]");
    if (!list) return;
    if (event.target.matches("[data-bulk-all]")) tickAll(list, event.target.checked);
    else if (event.target.closest("[data-bulk-every]")) tickAll(list, true);
    else if (event.target.closest("[data-bulk-clear]")) tickAll(list, false);
    else if (event.target.matches("[data-bulk-item]")) {
      const boxes = boxesOf(list), here = boxes.indexOf(event.target), there = boxes.indexOf(last);
      if (event.shiftKey && there >= 0) {
        boxes.slice(Math.min(here, there), Math.max(here, there) + 1).forEach((box) => { box.checked = event.target.checked; });
      }
      last = event.target;
      recount(list);
    }
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    lists().forEach(recount);
    const dialog = event.target.closest?.("dialog[data-opens]");
    if (!dialog) return;
    if (!dialog.open) dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
    if (dialog.querySelector("[data-bulk-done]")) lists().forEach((list) => tickAll(list, false));
  });
  // Browsers keep ticked boxes when a page is shown again.
  addEventListener("pageshow", () => lists().forEach(recount));
})();
