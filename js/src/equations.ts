import type { Trace } from "./frame";

/** A symbol with the number below it, or an operator. */
export interface Part {
  symbol: string;
  value?: number | undefined;
}

export interface Equation {
  parts: Part[];
  /** The value that the equation gives, where it is not the value recorded: the state itself was edited. */
  rule?: number;
}

type Series = (name: string) => number | undefined;

const operator = (symbol: string): Part => ({ symbol });
const term = (symbol: string, value: number | undefined): Part => ({ symbol, value: value ?? Number.NaN });

function checked(parts: Part[], recorded: number | undefined, rule: number | undefined): Equation {
  if (recorded === undefined || rule === undefined || !Number.isFinite(rule)) return { parts };
  return Math.abs(recorded - rule) > 0.002 * Math.max(1, Math.abs(rule)) ? { parts, rule } : { parts };
}

const known = (...values: (number | undefined)[]): boolean => values.every((value) => value !== undefined);

function lstm(now: Series, before: Series): Equation[] {
  const [i, f, g, o] = ["input_gate", "forget_gate", "candidate", "output_gate"].map(now);
  const [c, h, old] = [now("cell"), now("hidden"), before("cell")];
  const cell = checked(
    [
      term("c", c),
      operator("="),
      term("f", f),
      operator("·"),
      term("c₋", old),
      operator("+"),
      term("i", i),
      operator("·"),
      term("g", g),
    ],
    c,
    known(i, f, g, old) ? f! * old! + i! * g! : undefined,
  );
  if (h === undefined) return [cell];
  const squashed = c === undefined ? undefined : Math.tanh(c);
  const hidden = checked(
    [term("h", h), operator("="), term("o", o), operator("·"), term("tanh(c)", squashed)],
    h,
    known(o, squashed) ? o! * squashed! : undefined,
  );
  return [cell, hidden];
}

function gru(now: Series, before: Series): Equation[] {
  const [z, n, h, old] = [now("update_gate"), now("candidate"), now("hidden"), before("hidden")];
  const replaced = z === undefined ? undefined : 1 - z;
  const parts = [
    term("h", h),
    operator("="),
    term("(1 − z)", replaced),
    operator("·"),
    term("n", n),
    operator("+"),
    term("z", z),
    operator("·"),
    term("h₋", old),
  ];
  return [checked(parts, h, known(z, n, old) ? (1 - z!) * n! + z! * old! : undefined)];
}

function rnn(now: Series, nonlinearity: string): Equation[] {
  const [a, h] = [now("preactivation"), now("hidden")];
  const rule = a === undefined ? undefined : nonlinearity === "relu" ? Math.max(0, a) : Math.tanh(a);
  const parts = [term("h", h), operator("="), operator(`${nonlinearity}(`), term("a", a), operator(")")];
  return [checked(parts, h, rule)];
}

/** Whether the layer is PyTorch's own. */
export const hasEquation = (family: string): boolean => ["lstm", "gru", "rnn"].includes(family);

/** The update equations of the traced unit at one step, with their numbers. */
export function equationsAt(
  trace: Trace,
  family: string,
  nonlinearity: string,
  step: number,
  symbols: ReadonlyMap<string, string> = new Map(),
): Equation[] {
  const now: Series = (name) => trace.series[name]?.after[step];
  const before: Series = (name) => trace.previous[name]?.[step];
  if (family === "lstm") return lstm(now, before);
  if (family === "gru") return gru(now, before);
  if (family === "rnn") return rnn(now, nonlinearity);
  const names = Object.keys(trace.series).slice(0, 6);
  return [{ parts: names.map((name) => term(symbols.get(name) ?? name, now(name))) }];
}
