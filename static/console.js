/* The console tab, and the page of a link to look: noVNC in the page. A module of its own, since only these need 190 KB of VNC
   client. The ticket is asked for anew for every connection and travels in the websocket's subprotocol, never in the address.
   A link's secret is the fragment of this page's address: no server sees it but in the body that asks for a ticket. */
const panel = document.getElementById("console");
const screen = panel.querySelector("[data-screen]");
const over = panel.querySelector("[data-over]");
const words = panel.dataset;
const {default: RFB} = await import(words.novnc);
const viewOnly = words.viewOnly === "yes";
const PASTE_LIMIT = 4096, AT_ONCE = 16, PAUSE_MS = 40;
// What a person calls a key → its keysym and the name of its place on the keyboard.
const KEYS = {Ctrl: [0xffe3, "ControlLeft"], Alt: [0xffe9, "AltLeft"], Super: [0xffeb, "MetaLeft"], Tab: [0xff09, "Tab"],
  Escape: [0xff1b, "Escape"], Backspace: [0xff08, "Backspace"], Print: [0xff61, "PrintScreen"],
  ...Object.fromEntries([1, 2, 3, 4, 7].map((number) => [`F${number}`, [0xffbd + number, `F${number}`]]))};
let rfb = null, isWanted = false, ending = null, silentTries = 0, following = 0, typing = 0;

const say = (tone, text, detail = "", canRetry = false) => {
  const state = panel.querySelector("[data-status]");
  state.className = `state state-${tone}`;
  state.querySelector("[data-status-text]").textContent = text;
  over.hidden = tone === "ok";
  over.querySelector("[data-over-text]").textContent = detail || text;
  // A link that was refused once is refused for good.
  const isFinal = viewOnly && tone === "bad" && ending?.code === 4403;
  panel.querySelectorAll("[data-connect]").forEach((button) => { button.hidden = isFinal || (over.contains(button) && !canRetry); });
  // Keys and pasted text go nowhere without a connection.
  panel.querySelectorAll("[data-needs-screen]").forEach((control) => { control.disabled = tone !== "ok"; });
  document.querySelectorAll("[data-while-connected]").forEach((hint) => { hint.hidden = tone !== "ok"; });
  panel.dataset.state = tone === "ok" ? "connected" : tone;
};
// Who has it open is told beside the screen, and fetched again.
const tell = () => document.body.dispatchEvent(new CustomEvent("mains:console"));
const reasonOf = (code, why = "") => (why === "too_many_consoles" && words.reasonTooMany) || words[`reason${code}`] || words.reasonLost;

const asked = () => {
  if (!viewOnly) return {type: "application/json", body: JSON.stringify({type: "vnc"})};
  const link = location.hash.slice(1);
  if (!link) throw Object.assign(new Error(words.noLink), {code: 4403});
  return {type: "application/x-www-form-urlencoded", body: new URLSearchParams({link})};
};

const ticket = async () => {
  const {type, body: form} = asked();
  const answer = await fetch(words.ticketUrl, {
    method: "POST", credentials: "same-origin",
    headers: {"X-CSRFToken": words.csrf, "Content-Type": type, "Accept": "application/json"},
    body: form,
  });
  const body = await answer.json().catch(() => ({}));
  // A refusal is told in the same numbers as the websocket's close codes: 409 is 4409.
  if (!answer.ok) throw Object.assign(new Error(body.detail || reasonOf(4000 + answer.status)), {code: 4000 + answer.status});
  return body;
};

const connect = async () => {
  if (rfb) { isWanted = false; rfb.disconnect(); rfb = null; }
  isWanted = true;
  ending = null;
  say("busy", words.connecting);
  let grant;
  try {
    grant = await ticket();
  } catch (error) {
    ending = error;
    say("bad", words.disconnected, error.message, true);
    return;
  }
  const address = new URL(grant.ws, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address, ["binary", `ticket.${grant.ticket}`]);
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
    say("bad", words.disconnected, reasonOf(code, ending?.reason), true);
  }, 60);
};

const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

// Guests without a clipboard agent only understand keys: each character by its keysym, whatever keyboard sits here. In small
// portions, since a guest that boots or swaps loses keys that come faster than it reads them.
const paste = async (text) => {
  const told = panel.querySelector("[data-paste-told]"), stop = panel.querySelector("[data-paste-stop]");
  if (!rfb || !text) return;
  if (new TextEncoder().encode(text).length > PASTE_LIMIT) { told.textContent = words.tooLong; return; }
  const mine = rfb, turn = typing += 1, characters = [...text.replaceAll("\r\n", "\n")];
  stop.hidden = false;
  let sent = 0;
  for (const character of characters) {
    if (rfb !== mine || typing !== turn) break;
    const code = character.codePointAt(0);
    if (character === "\n") mine.sendKey(0xff0d, "Enter");
    else if (character === "\t") mine.sendKey(...KEYS.Tab);
    else mine.sendKey(code < 0x100 ? code : 0x01000000 + code, null);
    sent += 1;
    if (sent % AT_ONCE === 0 || sent === characters.length) {
      told.textContent = `${words.typed} ${sent}/${characters.length}`;
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
// The instance was started or stopped in this very page: follow it.
document.body.addEventListener("live", (event) => {
  const {kind, id} = event.detail;
  if (kind !== null && !(kind === "instance" && id === words.instance)) return;
  clearTimeout(following);
  following = setTimeout(() => { if (!rfb && panel.dataset.state === "bad" && ending?.code === 4409) connect(); }, 800);
});
addEventListener("pagehide", () => { isWanted = false; rfb?.disconnect(); });
if (words.canOpen === "yes") connect();
