/* The console tab, and the page of a link to look: noVNC in the page. A module of its own, since only these need 190 KB of VNC
   client. */
import {opened} from "./consoles.js";
import {strokesOf} from "./keyboards.js";

const panel = document.getElementById("console");
const screen = panel.querySelector("[data-screen]");
const {words, viewOnly, say, tell, reasonOf, socket: newSocket, follow} = opened(panel, "vnc");
const {default: RFB} = await import(words.novnc);
const PASTE_LIMIT = 4096, AT_ONCE = 16, PAUSE_MS = 40;
const KEYBOARD = `mains-keyboard-${words.user}`;
// What a person calls a key → its keysym and the name of its place on the keyboard.
const KEYS = {Ctrl: [0xffe3, "ControlLeft"], Alt: [0xffe9, "AltLeft"], Super: [0xffeb, "MetaLeft"], Tab: [0xff09, "Tab"],
  Escape: [0xff1b, "Escape"], Backspace: [0xff08, "Backspace"], Print: [0xff61, "PrintScreen"],
  ...Object.fromEntries([1, 2, 3, 4, 7].map((number) => [`F${number}`, [0xffbd + number, `F${number}`]]))};
// What a stroke is sent as besides its place.
const MODIFIERS = {ShiftLeft: 0xffe1, AltRight: 0xfe03}, BY_PLACE = {Enter: 0xff0d, Tab: 0xff09, Space: 0x20};
const layout = panel.querySelector("[data-layout]");
let rfb = null, isWanted = false, ending = null, silentTries = 0, typing = 0;

const connect = async () => {
  if (rfb) { isWanted = false; rfb.disconnect(); rfb = null; }
  isWanted = true;
  ending = null;
  say("busy", words.connecting);
  let socket;
  try {
    socket = await newSocket();
  } catch (error) {
    ending = error;
    say("bad", words.disconnected, {detail: error.message, canRetry: true, code: error.code});
    return;
  }
  // noVNC tells only that it ended; the code says why.
  socket.addEventListener("close", (event) => { ending = event; });
  const mine = new RFB(screen, socket, {shared: true});
  rfb = mine;
  mine.viewOnly = viewOnly;
  mine.scaleViewport = panel.querySelector("[data-scale]").getAttribute("aria-pressed") === "true";
  mine.background = "#05090b";
  mine.addEventListener("connect", () => { silentTries = 0; say("ok", words.connected); mine.focus(); tell(); });
  mine.addEventListener("disconnect", () => { if (rfb === mine) lost(mine); });
};

const lost = (mine) => {
  rfb = null;
  tell();
  if (!isWanted) return;
  setTimeout(() => {
    const code = ending ? ending.code : 1006;
    // A connection that broke for no stated reason (a restarted portal) is worth another try by itself.
    if (code < 4000 && silentTries < 4) {
      silentTries += 1;
      say("busy", words.connecting);
      setTimeout(connect, 500 * 2 ** silentTries);
      return;
    }
    say("bad", words.disconnected, {detail: reasonOf(code, ending?.reason), canRetry: true, code});
  }, 60);
};

const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

// Guests without a clipboard agent only understand keys: each character by the keys that give it on the guest's keyboard, as the
// user says, whatever keyboard sits here. In small portions, since a guest that boots or swaps loses keys that come faster than
// it reads them. False when that keyboard does not have it.
const type = (mine, layout, character) => {
  const strokes = strokesOf(layout, character);
  for (const {place, modifiers} of strokes ?? []) {
    for (const modifier of modifiers) mine.sendKey(MODIFIERS[modifier], modifier, true);
    mine.sendKey(BY_PLACE[place] ?? character.codePointAt(0), place);
    for (const modifier of modifiers) mine.sendKey(MODIFIERS[modifier], modifier, false);
  }
  return strokes !== null;
};

const paste = async (text) => {
  const told = panel.querySelector("[data-paste-told]"), stop = panel.querySelector("[data-paste-stop]");
  if (!rfb || !text) return;
  if (new TextEncoder().encode(text).length > PASTE_LIMIT) { told.textContent = words.tooLong; return; }
  const mine = rfb, turn = typing += 1, characters = [...text.replaceAll("\r\n", "\n")];
  stop.hidden = false;
  let sent = 0, absent = 0;
  for (const character of characters) {
    if (rfb !== mine || typing !== turn) break;
    if (!type(mine, layout.value, character)) absent += 1;
    sent += 1;
    if (sent % AT_ONCE === 0 || sent === characters.length) {
      told.textContent = `${words.typed} ${sent - absent}/${characters.length}${absent ? ` – ${words.leftOut} ${absent}` : ""}`;
      await sleep(PAUSE_MS);
    }
  }
  if (typing === turn) { stop.hidden = true; rfb?.focus(); }
};

const press = (combination) => {
  const keys = combination.split("+").map((name) => KEYS[name]);
  for (const [keysym, place] of keys) rfb?.sendKey(keysym, place, true);
  for (const [keysym, place] of keys.reverse()) rfb?.sendKey(keysym, place, false);
  rfb?.focus();
};

panel.addEventListener("click", (event) => {
  const at = (name) => event.target.closest(`[data-${name}]`);
  if (at("connect")) { silentTries = 0; connect(); }
  else if (at("ctrl-alt-del")) { rfb?.sendCtrlAltDel(); rfb?.focus(); }
  else if (at("full")) { document.fullscreenElement ? document.exitFullscreen() : panel.requestFullscreen(); }
  else if (at("paste-toggle")) { const bar = panel.querySelector("[data-paste]"); bar.hidden = !bar.hidden; if (!bar.hidden) bar.querySelector("textarea").focus(); }
  else if (at("paste-send")) { const area = panel.querySelector("[data-paste] textarea"); paste(area.value); if (rfb) area.value = ""; }
  else if (at("paste-stop")) { typing += 1; at("paste-stop").hidden = true; }
  else if (at("scale")) {
    const button = at("scale"), fits = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(fits));
    if (rfb) rfb.scaleViewport = fits;
  }
});
panel.querySelector("[data-combination]")?.addEventListener("change", (event) => {
  if (event.target.value) press(event.target.value);
  event.target.value = "";
});
if (layout) {
  const kept = localStorage.getItem(KEYBOARD);
  if ([...layout.options].some((option) => option.value === kept)) layout.value = kept;
  layout.addEventListener("change", () => localStorage.setItem(KEYBOARD, layout.value));
}
// The instance was started or stopped in this very page: follow it.
follow(() => { if (!rfb && panel.dataset.state === "bad" && ending?.code === 4409) connect(); });
addEventListener("pagehide", () => { isWanted = false; rfb?.disconnect(); });
if (words.canOpen === "yes") connect();
