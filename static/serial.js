/* The serial console: xterm.js in the page, over the same relay as the screen. What a guest writes is for the terminal's parser alone;
   nothing of it reaches the page. */
import {opened} from "./consoles.js";

const panel = document.getElementById("console");
// Where the host has no serial consoles, the page says so instead.
if (panel) await begin();

async function begin() {
  const {words, viewOnly, say, tell, reasonOf, socket: newSocket, follow} = opened(panel, "serial");
  await Promise.all([import(words.xterm), import(words.fit)]);
  const LEAST_COLUMNS = 80;
  const place = panel.querySelector("[data-terminal]"), encoder = new TextEncoder();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const terminal = new self.Terminal({
    documentOverride: withoutInlineStyles(), disableStdin: viewOnly, scrollback: 5000, fontSize: 14, screenReaderMode: false,
    lineHeight: 1.2, // at 1 some fonts' underscores are cut off
    theme: {background: colour("--mains-screen"), foreground: colour("--mains-on-ink")},
  });
  const fit = new self.FitAddon.FitAddon();
  let socket = null, ending = null, silentTries = 0;
  terminal.loadAddon(fit);
  terminal.open(place);
  terminal.textarea.setAttribute("aria-label", words.label);
  // A guest asks the terminal what it is and where its cursor stands. Of several who share the line, only who sits at it answers.
  const isAway = () => viewOnly || !document.hasFocus() || document.activeElement !== terminal.textarea;
  for (const id of [{final: "n"}, {final: "c"}, {prefix: ">", final: "c"}, {prefix: "?", final: "n"}, {prefix: "?", intermediates: "$", final: "p"},
    {intermediates: "$", final: "p"}, {final: "t"}]) terminal.parser.registerCsiHandler(id, isAway);
  terminal.parser.registerDcsHandler({intermediates: "$", final: "q"}, isAway);
  for (const number of [4, 10, 11, 12]) terminal.parser.registerOscHandler(number, isAway);

  // A guest takes eighty columns for granted.
  const resize = () => {
    const size = fit.proposeDimensions();
    if (size?.rows) terminal.resize(Math.max(LEAST_COLUMNS, size.cols), size.rows);
  };
  const send = (text) => { if (!viewOnly && socket?.readyState === WebSocket.OPEN) socket.send(encoder.encode(text)); };
  terminal.onData(send);
  terminal.onBinary((text) => { if (!viewOnly && socket?.readyState === WebSocket.OPEN) socket.send(Uint8Array.from(text, (sign) => sign.charCodeAt(0))); });

  const connect = async (options) => {
    const former = socket;
    socket = ending = null;
    former?.close();
    say("busy", words.connecting);
    let mine;
    try {
      mine = await newSocket(options);
    } catch (error) {
      ending = error;
      say("bad", words.disconnected, {detail: error.message, canRetry: true, code: error.code});
      return;
    }
    socket = mine;
    mine.binaryType = "arraybuffer";
    mine.addEventListener("open", () => { if (socket === mine) begun(); });
    mine.addEventListener("message", (event) => { if (socket === mine) terminal.write(new Uint8Array(event.data)); });
    mine.addEventListener("close", (event) => { if (socket === mine) lost(event); });
  };
  // A refusal comes as an accepted socket that is closed at once.
  const begun = () => setTimeout(() => {
    if (socket?.readyState !== WebSocket.OPEN) return;
    silentTries = 0;
    say("ok", words.connected);
    terminal.focus();
    tell();
  }, 60);
  const lost = (event) => {
    socket = null;
    ending = event;
    tell();
    // A connection that broke for no stated reason (a restarted portal) is worth another try by itself.
    if (event.code < 4000 && silentTries < 4) {
      silentTries += 1;
      say("busy", words.connecting);
      setTimeout(connect, 500 * 2 ** silentTries);
      return;
    }
    say("bad", words.disconnected, {detail: reasonOf(event.code, event.reason), canRetry: true, code: event.code});
  };

  panel.addEventListener("click", (event) => {
    const at = (name) => event.target.closest(`[data-${name}]`);
    if (at("connect")) { silentTries = 0; connect(); }
    else if (at("take-over")) connect({takeOver: true});
    else if (at("full")) { document.fullscreenElement ? document.exitFullscreen() : panel.requestFullscreen(); }
    else if (at("size")) { send(`stty rows ${terminal.rows} cols ${terminal.cols}\r`); terminal.focus(); }
  });
  new ResizeObserver(resize).observe(place);
  follow(() => { if (!socket && panel.dataset.state === "bad" && ending?.code === 4409) connect(); });
  addEventListener("pagehide", () => { const last = socket; socket = null; last?.close(); });
  connect();
}

/* The document as xterm.js sees it. It writes its colours and sizes into style elements and a `style` attribute, both of which the
   page's policy forbids; the same text in a constructed sheet and in `style.cssText` is allowed. */
function withoutInlineStyles() {
  const sheetElement = () => {
    const sheet = new CSSStyleSheet(), element = document.createElement("template");
    document.adoptedStyleSheets.push(sheet);
    Object.defineProperty(element, "textContent", {set: (text) => sheet.replaceSync(text)});
    return element;
  };
  // The spans of its lines are made of the real document.
  HTMLSpanElement.prototype.setAttribute = function setAttribute(name, value) {
    if (name === "style") this.style.cssText = value;
    else Element.prototype.setAttribute.call(this, name, value);
  };
  const createElement = (tag) => (tag === "style" ? sheetElement() : document.createElement(tag));
  return new Proxy(document, {
    get: (target, name) => {
      if (name === "createElement") return createElement;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
