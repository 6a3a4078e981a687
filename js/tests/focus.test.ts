import { expect, it } from "vitest";
import { userEvent } from "vitest/browser";
import type { Writing } from "../src/frame";
import { lstmFrame } from "./fixture";
import { mount, nextFrame } from "./mount";

const SHIFT = { forget_gate: { kind: "shift" as const, value: 1.5 } };
const written = (told: string[]) => {
  const writing: Writing = { words: "", pulses: null, told, changed_steps: [], reads: null };
  return { writing: writing as never };
};

/** The frame before a press, what is pressed, and the frame after which it has nothing to do any more. */
const PRESSES = {
  "reset of a gate": ['[aria-label="reset forget gate"]', { edited: true }, {}],
  "reset edits": [".rnnwidget-clear", { edited: true }, {}],
  "next sequence": ['[aria-label="next sequence"]', {}, { sequence: 31 }],
  "previous sequence": ['[aria-label="previous sequence"]', {}, { sequence: 0 }],
  "reset input": [".rnnwidget-passage-foot button", written(["“bad” → “good”"]), written([])],
} as const;

it.each(Object.entries(PRESSES))(
  "the focus stays on %s when that has nothing left to do",
  async (_, press) => {
    const [selector, before, after] = press;
    const scene = "edited" in before ? { edited: true } : {};
    const change = "edited" in before ? {} : before;
    const { find, show, model } = await mount({ _frame: lstmFrame(scene, change), dials: SHIFT });
    const button = find<HTMLButtonElement>(selector);
    button.focus();
    await userEvent.keyboard("{Enter}");
    await nextFrame();
    const told = model.saved.length;
    expect(told).toBeGreaterThan(0);
    model.receive({ dials: {} });
    await show(lstmFrame({}, { version: 2, answers: 1, ...after }));
    expect(document.activeElement).toBe(button);
    expect([button.ariaDisabled, button.checkVisibility()]).toEqual(["true", true]);
    await nextFrame();
    const sent = model.requests().length;
    await userEvent.keyboard("{Enter}");
    await nextFrame();
    expect(model.requests().length).toBe(sent);
  },
);

it("a button that is there only where it does something goes with the focus", async () => {
  const { find, show } = await mount({ _frame: lstmFrame({}, written(["“bad” → “good”"])) });
  const button = find<HTMLButtonElement>(".rnnwidget-passage-foot button");
  button.focus();
  await show(lstmFrame({}, { version: 2, ...written([]) }));
  find(".rnnwidget-text").focus();
  expect(button.hidden).toBe(true);
});

it("a chip that can be chosen no more hands the focus to the one that is", async () => {
  const { find, model } = await mount({ steps: [3, 9] });
  const chip = () => document.activeElement as HTMLButtonElement;
  find<HTMLButtonElement>('[aria-label="steps"] [value="brushed"]').focus();
  model.receive({ steps: null });
  await expect.poll(() => chip().value).toBe("all");
  expect(chip().closest('[aria-label="steps"]')).not.toBe(null);
});

it("what becomes a still picture keeps the focus", async () => {
  const { find, root, element, model } = await mount();
  find<HTMLInputElement>('[aria-label="forget gate shift"]').focus();
  element.classList.add("jupyter-widgets-disconnected");
  model.announce("comm_live_update");
  await expect.poll(() => document.activeElement).toBe(root);
});
