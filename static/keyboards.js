/* Which keys a guest's keyboard layout wants for a character. Keys are named by their place, as browsers do it, so that noVNC
   sends scan codes, which the guest reads by its own layout. Without imports: a test runs it alone. */
const PLACES = ["Backquote", ..."1234567890".split("").map((digit) => `Digit${digit}`), "Minus", "Equal",
  ...letters("QWERTYUIOP"), "BracketLeft", "BracketRight", ...letters("ASDFGHJKL"), "Semicolon", "Quote", "Backslash",
  "IntlBackslash", ...letters("ZXCVBNM"), "Comma", "Period", "Slash", "IntlRo", "IntlYen"];
// Layout → what the keys give in that order: alone, with Shift, with AltGr; a blank is nothing that is wanted, a combining
// accent a dead key.
const LAYOUTS = {
  us: ["`1234567890-=qwertyuiop[]asdfghjkl;'\\ zxcvbnm,./",
    "~!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:\"| ZXCVBNM<>?",
    ""],
  gb: ["`1234567890-=qwertyuiop[]asdfghjkl;'#\\zxcvbnm,./",
    "¬!\"£$%^&*()_+QWERTYUIOP{}ASDFGHJKL:@~|ZXCVBNM<>?",
    "|   €  {[]}\\ @ e                     |"],
  de: ["\u03021234567890ß\u0301qwertzuiopü+asdfghjklöä#<yxcvbnm,.-",
    "°!\"§$%&/()=?\u0300QWERTZUIOPÜ*ASDFGHJKLÖÄ'>YXCVBNM;:_",
    "       {[]}\\ @ €        ~            |"],
  fr: ["²&é\"'(-è_çà)=azertyuiop\u0302$qsdfghjklmù*<wxcvbn,;:!",
    " 1234567890°+AZERTYUIOP\u0308£QSDFGHJKLM%µ>WXCVBN?./§",
    "  ~#{[|`\\^@]}  €         @           |"],
  es: ["º1234567890'¡qwertyuiop\u0300+asdfghjklñ\u0301ç<zxcvbnm,.-",
    "ª!\"·$%&/()=?¿QWERTYUIOP\u0302*ASDFGHJKLÑ\u0308Ç>ZXCVBNM;:_",
    "\\|@#~  {[]}\\ @ €       []          {}|"],
  it: ["\\1234567890'ìqwertyuiopè+asdfghjklòàù<zxcvbnm,.-",
    "|!\"£$%&/()=?^QWERTYUIOPé*ASDFGHJKLç°§>ZXCVBNM;:_",
    "       {[]}`~  €       []         @#"],
  jp: [" 1234567890-^qwertyuiop@[asdfghjkl;:] zxcvbnm,./\\\\",
    " !\"#$%&'() =~QWERTYUIOP`{ASDFGHJKL+*} ZXCVBNM<>?_|",
    ""],
};
const MODIFIERS = [[], ["ShiftLeft"], ["AltRight"]];
// What a dead key gives when a space follows it.
const ALONE = {"^": "\u0302", "`": "\u0300", "´": "\u0301", "¨": "\u0308", "~": "\u0303", "°": "\u030a"};
const BY_PLACE = {" ": "Space", "\n": "Enter", "\t": "Tab"};

function letters(row) { return row.split("").map((letter) => `Key${letter}`); }

function strokeOf(layout, sign) {
  for (const [level, keys] of LAYOUTS[layout].entries()) {
    const at = sign.trim() ? [...keys].indexOf(sign) : -1;
    if (at >= 0) return {place: PLACES[at], modifiers: MODIFIERS[level]};
  }
  return null;
}

/** The names of the layouts. */
export const layouts = Object.keys(LAYOUTS);

/** The strokes that give a character, one after the other: {place, modifiers}; null where the layout does not have it. */
export function strokesOf(layout, character) {
  if (BY_PLACE[character]) return [{place: BY_PLACE[character], modifiers: []}];
  const direct = strokeOf(layout, character);
  if (direct) return [direct];
  const [base, accent, ...more] = ALONE[character] ? [" ", ALONE[character]] : [...character.normalize("NFD")];
  if (!accent || more.length) return null;
  const dead = strokeOf(layout, accent), then = base === " " ? {place: "Space", modifiers: []} : strokeOf(layout, base);
  return dead && then ? [dead, then] : null;
}
