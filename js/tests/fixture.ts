import type { FilledFrame, Gate, Wire, WireFrame } from "../src/frame";

type Change = Partial<Wire<FilledFrame>>;

const SENTENCE =
  "it was not bad at all , I would watch it again with my brother . the first half drags and the score is far too loud , " +
  "but nothing about the last twenty minutes is ordinary : it does n't apologise , it never explains , and when the lights " +
  "went up nobody in the room moved";

export const TOKENS = SENTENCE.split(" ").slice(0, 60);

/** The same pseudo-random numbers every time. */
export function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
}

export const floats = (values: ArrayLike<number>): DataView => new DataView(new Float32Array(values).buffer);
export const ints = (values: ArrayLike<number>): DataView => new DataView(new Int32Array(values).buffer);

const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));

type Run = Record<
  "hidden" | "cell" | "input_gate" | "forget_gate" | "candidate" | "output_gate" | "previous",
  number[][]
>;

/** A small driven LSTM with independent units, so that pictures have the structure of real ones. */
export function runLstm(units: number, steps: number, forgetShift: number): Run {
  const random = noise(7);
  const drive = Array.from({ length: steps }, () => [random() * 4, random() * 4]);
  const names = [
    "hidden",
    "cell",
    "input_gate",
    "forget_gate",
    "candidate",
    "output_gate",
    "previous",
  ] as const;
  const run = Object.fromEntries(names.map((name) => [name, [] as number[][]])) as Run;
  for (let unit = 0; unit < units; unit++) {
    const angle = (unit / units) * Math.PI * 2;
    const weigh = (phase: number, step: number) =>
      Math.cos(angle + phase) * drive[step]![0]! + Math.sin(angle + phase) * drive[step]![1]!;
    let [c, h] = [0, 0];
    for (const name of names) run[name][unit] = [];
    for (let step = 0; step < steps; step++) {
      const i = sigmoid(weigh(0.3, step) + 0.4 * h);
      const f = sigmoid(1.2 + 0.5 * weigh(1.1, step) + forgetShift);
      const g = Math.tanh(weigh(2.2, step) + 0.8 * h);
      const o = sigmoid(0.5 * weigh(3.3, step) + 0.3);
      const old = c;
      c = f * c + i * g;
      h = o * Math.tanh(c);
      const values = {
        hidden: h,
        cell: c,
        input_gate: i,
        forget_gate: f,
        candidate: g,
        output_gate: o,
        previous: old,
      };
      for (const name of names) run[name][unit]![step] = values[name];
    }
  }
  return run;
}

const SITES = [
  { name: "hidden", label: "hidden state", symbol: "h", signed: true },
  { name: "cell", label: "cell state", symbol: "c", signed: true },
  { name: "input_gate", label: "input gate", symbol: "i", signed: false },
  { name: "forget_gate", label: "forget gate", symbol: "f", signed: false },
  { name: "candidate", label: "candidate", symbol: "g", signed: true },
  { name: "output_gate", label: "output gate", symbol: "o", signed: false },
];

const gate = (
  site: string,
  label: string,
  symbol: string,
  low: string,
  high: string,
  signed = false,
): Gate => ({
  site,
  label,
  symbol,
  low,
  high,
  clamp: [signed ? -1 : 0, 1],
  shift: [-6, 6],
  scale: [0, 2],
  kinds: ["shift", "clamp", "scale"],
  kind: signed ? "scale" : "shift",
});

export const PANEL = [
  gate("input_gate", "input gate", "i", "block", "write"),
  gate("forget_gate", "forget gate", "f", "forget", "keep"),
  gate("candidate", "candidate", "g", "−1", "+1", true),
  gate("output_gate", "output gate", "o", "hide", "show"),
];

export interface Scene {
  units?: number;
  steps?: number;
  edited?: boolean;
  unit?: number;
  site?: keyof Run;
}

/** A filled frame as Python would send it: an LSTM over a review, edited or not. */
export function lstmFrame(
  { units = 64, steps = 60, edited = false, unit = 17, site = "hidden" }: Scene = {},
  change: Change = {},
): WireFrame {
  const plain = runLstm(units, steps, 0);
  const shown = edited ? runLstm(units, steps, 1.5) : plain;
  const order = Array.from({ length: units }, (_, row) => (row * 7 + 3) % units);
  const tokens = Array.from({ length: steps }, (_, step) => TOKENS[step % TOKENS.length]!);
  const rows = (run: Run, name: keyof Run) => floats(order.flatMap((at) => run[name][at]!));
  const share = (run: Run) =>
    floats(order.map((at) => run.forget_gate[at]!.filter((f) => f > 0.9).length / steps));
  const pair = (name: keyof Run) => ({
    after: floats(shown[name][unit]!),
    before: edited ? floats(plain[name][unit]!) : null,
  });
  const random = noise(3);
  const total = Array.from({ length: steps }, (_, step) => 10 ** (-4 + (4 * step) / steps + random() * 0.6));
  const local = total.map((value, step) => (step === steps - 1 ? value : value * 10 ** (-2.2 + random())));
  const signed = SITES.find(({ name }) => name === site)?.signed ?? true;
  return {
    version: 1,
    answers: 0,
    title: "SentimentLSTM",
    state: "filled",
    found: [],
    parameters: 812_354,
    hint: "",
    layers: ["0→", "0←", "1→", "1←"].map((label, index) => ({
      name: `lstm.l${index >> 1}${index % 2 ? "_reverse" : ""}`,
      label,
      family: "lstm",
      units,
    })),
    layer: "lstm.l0",
    calls: 1,
    sequences: 32,
    sequence: 2,
    sequence_label: "label: positive",
    steps,
    reverse: false,
    tokens,
    inputs: null,
    sites: SITES,
    site,
    order: ints(order),
    heatmap: {
      rows: units,
      columns: steps,
      row_factor: 1,
      column_factor: 1,
      limits: signed ? [-1, 1] : [0, 1],
      signed,
      data: rows(shown, site),
      low: null,
      high: null,
      before: edited ? rows(plain, site) : null,
    },
    margin: {
      label: "share f > 0.9",
      values: share(shown),
      before: edited ? share(plain) : null,
      limits: [0, 1],
    },
    edited: edited ? [{ units: [5, 17, 24, 31], steps: null }] : [],
    residual: { text: "9e−08", ok: true },
    trace: {
      unit,
      series: Object.fromEntries(SITES.map(({ name }) => [name, pair(name as keyof Run)])),
      previous: {
        cell: floats(shown.previous[unit]!),
        hidden: floats([0, ...shown.hidden[unit]!.slice(0, -1)]),
      },
    },
    gradient: {
      total: floats(total),
      local: floats(local),
      caption: "‖∂L/∂h‖ at each step, all units, loss: cross-entropy",
    },
    gradient_message: "",
    answer: {
      caption: "softmax of the output",
      labels: ["negative", "positive"],
      before: floats([0.93, 0.07]),
      after: floats(edited ? [0.39, 0.61] : [0.93, 0.07]),
      range: [0, 1],
      edited,
      picked: edited ? 1 : 0,
      headline: edited ? "P(positive)  0.07 → 0.61" : "P(negative)  0.93",
    },
    panel: PANEL,
    edits: edited ? ["shift forget gate by +1.5 · layer 0→ · units 17, 24, 31, 5 · all steps"] : [],
    truncated: "",
    ...change,
  };
}

export const WAITING: WireFrame = {
  version: 1,
  answers: 0,
  title: "SentimentLSTM",
  state: "waiting",
  found: [
    { path: "lstm", family: "LSTM", layers: 2, units: 64, direction: "both directions", parameters: 198_656 },
    {
      path: "head.memory",
      family: "GRU",
      layers: 1,
      units: 32,
      direction: "left to right",
      parameters: 15_552,
    },
  ],
  parameters: 812_354,
  hint: "Call the model on a batch, for instance model(x), and the score of that run appears here.",
};
