/* The console tab: noVNC in the page. A module of its own, since only this page needs 190 KB of VNC client.
   The ticket is asked for anew for every connection and travels in the websocket's subprotocol, never in the address. */
const panel = document.getElementById("console");
const screen = panel.querySelector("[data-screen]");
const over = panel.querySelector("[data-over]");
const words = panel.dataset;
const {default: RFB} = await import(words.novnc);
let rfb = null, isWanted = false, ending = null, silentTries = 0, following = 0;

const say = (tone, text, detail = "", canRetry = false) => {
  const state = panel.querySelector("[data-status]");
  state.className = `state state-${tone}`;
  state.querySelector("[data-status-text]").textContent = text;
  over.hidden = tone === "ok";
  over.querySelector("[data-over-text]").textContent = detail || text;
  over.querySelector("[data-connect]").hidden = !canRetry;
  panel.dataset.state = tone === "ok" ? "connected" : tone;
};
const reasonOf = (code) => words[`reason${code}`] || words.reasonLost;

const ticket = async () => {
  const answer = await fetch(words.ticketUrl, {
    method: "POST", credentials: "same-origin",
    headers: {"X-CSRFToken": words.csrf, "Content-Type": "application/json", "Accept": "application/json"},
    body: JSON.stringify({type: "vnc"}),
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
  mine.scaleViewport = true;
  mine.background = "#05090b";
  mine.addEventListener("connect", () => { silentTries = 0; say("ok", words.connected); mine.focus(); });
  mine.addEventListener("disconnect", () => { if (rfb === mine) lost(mine); });
};

const lost = (mine) => {
  rfb = null;
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
    say("bad", words.disconnected, reasonOf(code), true);
  }, 60);
};

const paste = (text) => {
  if (!rfb) return;
  rfb.clipboardPasteFrom(text);
  // Guests without a clipboard agent only understand keys.
  for (const character of text) {
    const code = character.codePointAt(0);
    if (character === "\n") rfb.sendKey(0xff0d, "Enter");
    else rfb.sendKey(code < 0x100 ? code : 0x01000000 + code, null);
  }
  rfb.focus();
};

panel.addEventListener("click", (event) => {
  const at = (name) => event.target.closest(`[data-${name}]`);
  if (at("connect")) { silentTries = 0; connect(); }
  else if (at("ctrl-alt-del")) { rfb?.sendCtrlAltDel(); rfb?.focus(); }
  else if (at("full")) { document.fullscreenElement ? document.exitFullscreen() : panel.requestFullscreen(); }
  else if (at("paste-toggle")) { const bar = panel.querySelector("[data-paste]"); bar.hidden = !bar.hidden; if (!bar.hidden) bar.querySelector("textarea").focus(); }
  else if (at("paste-send")) { const area = panel.querySelector("[data-paste] textarea"); paste(area.value); area.value = ""; }
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
