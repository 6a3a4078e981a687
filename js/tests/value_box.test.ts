import { describe, expect, it } from "vitest";
import { userEvent } from "vitest/browser";
import { formatExact, formatSigned } from "../src/format";
import { lstmFrame } from "./fixture";
import { type Mounted, mount, nextFrame } from "./mount";

const box = ({ find }: Mounted) => find<HTMLInputElement>('input[aria-label="forget gate value"]');
const said = ({ find }: Mounted) => find(".rnnwidget-dial:nth-child(2) .rnnwidget-words-said");
const shifted = (value: number) => ({ forget_gate: { kind: "shift" as const, value } });
const clamped = { dials: { forget_gate: { kind: "clamp" as const, value: 0.5 } } };

async function type(view: Mounted, keys: string) {
  box(view).focus();
  box(view).select();
  await userEvent.keyboard(keys);
  await nextFrame();
  await nextFrame();
  return view.model.requests().at(-1);
}

describe("the box of a dial", () => {
  it("cancels on Escape what was typed, all of it in one step to undo", async () => {
    const view = await mount({ dials: shifted(1.5) });
    await type(view, "42");
    const asked = view.model.requests() as { gesture: string }[];
    expect(await type(view, "{Escape}")).toMatchObject({ dials: shifted(1.5) });
    expect(
      new Set([...asked, view.model.requests().at(-1) as never].map(({ gesture }) => gesture)).size,
    ).toBe(1);
    expect(box(view).value).toBe("1.5");
    const count = view.model.requests().length;
    box(view).blur();
    await nextFrame();
    expect(view.model.requests()).toHaveLength(count);
  });

  it("cancels to an untouched dial, and to an edit of another kind", async () => {
    const view = await mount();
    await type(view, "3");
    expect(await type(view, "{Escape}")).toMatchObject({ dials: {} });
    expect(box(view).value).toBe("0");
    view.model.receive({ _status: { state: "ready", message: "", answers: 9 }, dials: clamped.dials });
    view.find<HTMLButtonElement>(".rnnwidget-dial:nth-child(2) button[value=shift]").click();
    await type(view, "3");
    expect(await type(view, "{Escape}")).toMatchObject({ dials: clamped.dials });
  });

  it.each(["-", "1e"])("keeps the edit where %s is no number", async (keys) => {
    const view = await mount({ dials: shifted(1.5) });
    await type(view, `${keys}{Enter}`);
    const last = view.model.requests().at(-1) as { dials: object } | undefined;
    if (last) expect(last.dials).toHaveProperty("forget_gate");
    expect(Number(box(view).value)).toBe(keys === "-" ? 1.5 : 1);
    expect(box(view).validity.badInput).toBe(false);
  });

  it("resets what was emptied", async () => {
    const view = await mount({ dials: shifted(1.5) });
    expect(await type(view, "{Delete}{Enter}")).toMatchObject({ dials: {} });
    expect(box(view).value).toBe("0");
  });

  it("takes a shift beyond the slider's range, and says how far that goes", async () => {
    const view = await mount();
    expect(box(view).title).toBe("any number; the slider goes from −6 to 6");
    expect(await type(view, "99{Enter}")).toMatchObject({ dials: shifted(99) });
    expect(box(view).value).toBe("99");
    expect(said(view).textContent).toBe("");
  });

  it("takes a clamp to the nearest end of its gate, and says so", async () => {
    const view = await mount(clamped);
    expect(box(view).title).toBe("from 0 to 1");
    expect(await type(view, "7{Enter}")).toMatchObject({
      dials: { forget_gate: { kind: "clamp", value: 1 } },
    });
    expect([box(view).value, said(view).textContent]).toEqual(["1", "a clamp here goes from 0 to 1"]);
    expect(said(view).getAttribute("role")).toBe("status");
    await type(view, "0.4");
    expect(said(view).textContent).toBe("");
  });

  it("takes a clamp of what has no end beyond its slider", async () => {
    const panel = (lstmFrame() as unknown as { panel: object[] }).panel.map((gate) => ({
      ...gate,
      clamp: [0, 5],
      bounds: [0, null],
    }));
    const view = await mount({ ...clamped, _frame: lstmFrame({}, { panel: panel as never }) });
    expect(box(view).title).toBe("any number from 0 on; the slider goes from 0 to 5");
    expect(await type(view, "7{Enter}")).toMatchObject({ dials: { forget_gate: { value: 7 } } });
  });

  it("shows the number in force, not one like it, and has room for it", async () => {
    const view = await mount({ dials: shifted(-0.123456) });
    expect(box(view).value).toBe("-0.12346");
    expect(box(view).scrollWidth).toBeLessThanOrEqual(box(view).clientWidth);
    view.model.receive({ dials: shifted(0.001) });
    expect(box(view).value).toBe("0.001");
    const slider = view.find('input[aria-label="forget gate shift"]');
    expect(slider.getAttribute("aria-valuetext")).toContain("+0.001");
  });
});

describe("a number in words", () => {
  it("is no whole number unless it is one", () => {
    expect([1.5, 0.001, 0.9999, 2, -0.0004, 1e-9, 12345678].map(formatExact)).toEqual([
      "1.50",
      "0.001",
      "0.9999",
      "2.00",
      "−0.0004",
      "1.0e−9",
      "1.2e+7",
    ]);
    expect([2, 10, 1.5, 0.001, -3, 1e10, 0].map(formatSigned)).toEqual([
      "+2",
      "+10",
      "+1.5",
      "+0.001",
      "−3",
      "+1.0e+10",
      "0",
    ]);
  });
});
