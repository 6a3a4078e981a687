import { visibleToken } from "./format";

const TURNING =
  /[\u0590-\u08ff\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const CLOSING = "\u2069";

/** A name in a sentence, in Unicode's first strong isolate where it could turn the numbers beside it round. */
export function isolated(name: string): string {
  return TURNING.test(name) ? `\u2068${closed(name)}${CLOSING}` : name;
}

/** A token in a sentence. */
export const quotedToken = (token: string): string => `“${isolated(visibleToken(token))}”`;

/** Whether a word would turn its neighbours round: one of right-to-left letters stands among others as text does. */
export const turnsOthers = (word: string): boolean => /[\u202a-\u202e\u2066-\u2069]/.test(word);

/** With an end for every isolate that it opens, and no other. */
function closed(name: string): string {
  let depth = 0;
  let text = "";
  for (const sign of name) {
    if (sign === CLOSING && depth === 0) continue;
    if (sign === CLOSING) depth -= 1;
    else if (/[\u2066-\u2068]/.test(sign)) depth += 1;
    text += sign;
  }
  return text + CLOSING.repeat(depth);
}
