import { expect, it } from "vitest";
import type { Writing } from "../src/frame";
import { isolated } from "../src/isolation";
import { lstmFrame, TOKENS } from "./fixture";
import { mount } from "./mount";

const HEBREW = ["הסרט", "היה", "לא", "רע", "בכלל"];

/** A passage in Hebrew; one of its words turns what follows it round. */
const words = (steps: number, other: string) =>
  Array.from({ length: steps }, (_, step) => (step === 3 ? other : HEBREW[step % HEBREW.length]!));

/** Where a part of an element's text stands on the page, from the left. */
function placeOf(element: Element, part: string): number {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const at = node.textContent!.indexOf(part);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + part.length);
    return range.getBoundingClientRect().left;
  }
  throw new Error(`no ${part} in ${element.textContent}`);
}

const read = (tokens: string[], told: string[] = []) => {
  const reads = tokens.map(() => "number 7");
  const writing: Writing = { words: "", pulses: null, told, changed_steps: [], reads };
  return mount({ _frame: lstmFrame({}, { tokens, writing: writing as never }) });
};

it("leaves plain names as they are, letter by letter", () => {
  for (const name of ["positive", "naïve", "否定", "👩‍👩‍👧", "a (b) → c"]) expect(isolated(name)).toBe(name);
});

it("ends every direction that a name begins, and none that it did not begin", () => {
  expect(isolated("חיובי")).toBe("\u2068חיובי\u2069");
  expect(isolated("\u202eevil")).toBe("\u2068\u202eevil\u2069");
  expect(isolated("\u2069out\u2067in")).toBe("\u2068out\u2067in\u2069\u2069");
});

it.each(["רע", "\u202eevil", "\u2069\u202eevil"])("has what follows %j in its own order", async (token) => {
  const { find, root } = await read(words(TOKENS.length, token));
  find('.rnnwidget-text [data-step="3"]').click();
  const line = find(".rnnwidget-readout-line");
  expect(line.textContent).toContain("step 3 “");
  expect(placeOf(line, "step 3")).toBeLessThan(placeOf(line, "· h ="));
  expect(placeOf(line, "h")).toBeLessThan(placeOf(line, "="));
  const foot = find(".rnnwidget-passage-foot");
  expect(placeOf(foot, "is read")).toBeLessThan(placeOf(foot, "number 7"));
  expect(root.querySelector(".rnnwidget-word-editor")).not.toBe(null);
});

it("reads from the right where the text does, and a sign that turns stays in its word", async () => {
  const { find } = await read(words(TOKENS.length, "\u202eevil"));
  const [first, second, , turning, last] = [0, 1, 2, 3, 4].map((step) =>
    find(`.rnnwidget-text [data-step="${step}"]`).getBoundingClientRect(),
  );
  expect(first!.left).toBeGreaterThanOrEqual(second!.right);
  expect(second!.left).toBeGreaterThanOrEqual(turning!.right);
  expect(turning!.left).toBeGreaterThanOrEqual(last!.right);
  const { find: plain } = await read(TOKENS);
  const plainWords = [0, 1].map((step) =>
    plain(`.rnnwidget-text [data-step="${step}"]`).getBoundingClientRect(),
  );
  expect(plainWords[0]!.right).toBeLessThanOrEqual(plainWords[1]!.left);
});
