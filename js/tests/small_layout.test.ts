import { expect, it } from "vitest";
import type { FilledFrame, Wire } from "../src/frame";
import { lstmFrame } from "./fixture";
import { HEATMAP, mount, nextFrame, point } from "./mount";

/** A notebook in a window of 500 pixels leaves so much. */
const WIDTH = 384;
const ASKED = "give the inspector targets= and loss= to see where the gradient goes";
const none = { gradient: null, gradient_message: ASKED } as Partial<Wire<FilledFrame>>;

interface Piece {
  element: Element;
  text: string;
  box: DOMRect;
}

/** Every line of text that can be seen, and where it stands. */
function pieces(root: HTMLElement): Piece[] {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found: Piece[] = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement!;
    const seen = element.checkVisibility({ visibilityProperty: true });
    if (element.matches(".rnnwidget-caption[title], .rnnwidget-text *")) continue;
    if (!node.textContent!.trim() || !seen || element.closest(".rnnwidget-live, option, textarea")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects())
      if (box.width > 1) found.push({ element, text: node.textContent!, box });
  }
  return found;
}

const meet = (one: DOMRect, other: DOMRect) =>
  one.left < other.right - 1 &&
  other.left < one.right - 1 &&
  one.top < other.bottom - 3 &&
  other.top < one.bottom - 3;

it.each([
  ["as it is", {}, {}],
  ["without a gradient", {}, none],
  ["edited", { edited: true }, {}],
])("in a small window, %s, nothing is cut off and no text runs into another", async (_, scene, change) => {
  const { root, find } = await mount({ _frame: lstmFrame(scene, change), steps: [3, 9] }, { width: WIDTH });
  point(find(HEATMAP), "pointermove", 0.5);
  await nextFrame();
  const view = root.getBoundingClientRect();
  expect(root.scrollWidth).toBeLessThanOrEqual(root.clientWidth);
  const found = pieces(root);
  for (const { text, box } of found) {
    expect(box.left, text).toBeGreaterThanOrEqual(view.left);
    expect(box.right, text).toBeLessThanOrEqual(view.right);
  }
  for (const name of ["gradient-message", "equation", "ripple-line", "tools", "legend-line", "header"]) {
    const part = find(`.rnnwidget-${name}`);
    expect([name, part.scrollHeight]).toEqual([name, part.clientHeight]);
  }
  for (const [at, one] of found.entries())
    for (const other of found.slice(at + 1))
      if (one.element !== other.element)
        expect(meet(one.box, other.box), `${one.text} | ${other.text}`).toBe(false);
});

it("in a small window nothing jumps: not with a brush, a selection, an edit or a word about the kernel", async () => {
  const { root, element, model, show } = await mount({}, { width: WIDTH });
  const tops = () =>
    [...root.querySelectorAll(".rnnwidget-lane, .rnnwidget-ripple, .rnnwidget-bench, .rnnwidget-dial")].map(
      (part) => part.getBoundingClientRect().top - root.getBoundingClientRect().top,
    );
  const before = tops();
  model.receive({ steps: [10, 48], units: [3, 17, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49] });
  await nextFrame();
  expect(tops()).toEqual(before);
  await show(lstmFrame({ edited: true }, { version: 2, truncated: "showing means of 4 steps per column" }));
  expect(tops()).toEqual(before);
  element.classList.add("jupyter-widgets-disconnected");
  model.announce("comm_live_update");
  await expect.poll(() => root.dataset.state).toBe("closed");
  expect(tops()).toEqual(before);
});
