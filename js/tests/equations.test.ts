import { describe, expect, it } from "vitest";
import { type Equation, equationsAt } from "../src/equations";
import type { Trace } from "../src/frame";
import { lstmFrame } from "./fixture";
import { mount } from "./mount";

function trace(now: Record<string, number>, previous: Record<string, number> = {}): Trace {
  const one = (value: number) => new Float32Array([0, value]);
  const series = Object.entries(now).map(([name, value]) => [name, { after: one(value), before: null }]);
  const old = Object.entries(previous).map(([name, value]) => [name, one(value)]);
  return { unit: 0, series: Object.fromEntries(series), previous: Object.fromEntries(old) };
}

const symbols = ({ parts }: Equation) => parts.map(({ symbol }) => symbol).join(" ");
const numbers = ({ parts }: Equation) => parts.flatMap((part) => ("value" in part ? [part.value] : []));

const GATES = { input_gate: 0.5, forget_gate: 0.75, candidate: -0.5, output_gate: 0.25 };

describe("update equations", () => {
  it("of a registered family are its sites, called as everywhere else", () => {
    const known = new Map([
      ["drive", "d"],
      ["hidden", "h"],
    ]);
    const [found] = equationsAt(trace({ drive: 2, hidden: 1, more: 3 }), "ctrnn", "", 1, known);
    expect(symbols(found!)).toBe("d h more");
    expect(numbers(found!)).toEqual([2, 1, 3]);
  });

  it("of the LSTM, with the numbers of the step", () => {
    const cell = 0.75 * 0.5 + 0.5 * -0.5;
    const [c, h] = equationsAt(
      trace({ ...GATES, cell, hidden: 0.25 * Math.tanh(cell) }, { cell: 0.5 }),
      "lstm",
      "",
      1,
    );
    expect(symbols(c!)).toBe("c = f · c₋ + i · g");
    expect(numbers(c!)).toEqual([cell, 0.75, 0.5, 0.5, -0.5]);
    expect(symbols(h!)).toBe("h = o · tanh(c)");
    expect([c!.rule, h!.rule]).toEqual([undefined, undefined]);
  });

  it("of the LSTM with a projection: no hidden state of this unit", () => {
    expect(equationsAt(trace({ ...GATES, cell: 0.125 }, { cell: 0.5 }), "lstm", "", 1).map(symbols)).toEqual([
      "c = f · c₋ + i · g",
    ]);
  });

  it("of the GRU, where the update gate keeps", () => {
    const [h] = equationsAt(
      trace({ update_gate: 0.75, candidate: 1, reset_gate: 0, hidden: 0.625 }, { hidden: 0.5 }),
      "gru",
      "",
      1,
    );
    expect(symbols(h!)).toBe("h = (1 − z) · n + z · h₋");
    expect(numbers(h!)).toEqual([0.625, 0.25, 1, 0.75, 0.5]);
    expect(h!.rule).toBe(undefined);
  });

  it.each([
    ["tanh", Math.tanh(-0.5)],
    ["relu", 0],
  ])("of the vanilla RNN with %s", (nonlinearity, hidden) => {
    const [h] = equationsAt(trace({ preactivation: -0.5, hidden }), "rnn", nonlinearity, 1);
    expect(symbols(h!)).toBe(`h = ${nonlinearity}( a )`);
    expect(h!.rule).toBe(undefined);
  });

  it("say so where the state itself was edited", () => {
    const [h] = equationsAt(trace({ preactivation: 0, hidden: 0.5 }), "rnn", "tanh", 1);
    expect(h!.rule).toBe(0);
  });

  it("of a family of one's own: its values", () => {
    const [all] = equationsAt(trace({ rate: 0.5, adaptation: 0.25 }), "leaky", "", 1);
    expect(symbols(all!)).toBe("rate adaptation");
  });

  it("of a family of one's own: the page says that there is none, and of PyTorch's own it does not", async () => {
    const told = "values of this step; its equation is your own";
    const { find, show } = await mount();
    expect(find(".rnnwidget-equation").textContent).not.toContain(told);
    const layers = [{ name: "lstm.l0", label: "cell", family: "leaky", units: 64 }];
    await show(lstmFrame({}, { version: 2, layers }));
    expect(find(".rnnwidget-equation .rnnwidget-field").lastElementChild!.textContent).toBe(told);
  });
});
