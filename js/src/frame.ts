/** One picture, as Python sends it: JSON with float32 and int32 arrays as bytes. */

export interface FoundModule {
  path: string;
  family: string;
  layers: number;
  /** Null where only a call can tell. */
  units: number | null;
  direction: string;
  parameters: number;
}

export interface WaitingFrame {
  version: number;
  answers: number;
  title: string;
  state: "waiting" | "filled";
  found: FoundModule[];
  parameters: number;
  hint: string;
}

export interface LayerEntry {
  name: string;
  label: string;
  /** The label in full, for a tooltip and a screen reader. */
  title?: string;
  family: string;
  /** Null where only a call can tell. */
  units: number | null;
  nonlinearity?: string;
}

export interface Site {
  name: string;
  label: string;
  symbol: string;
  signed: boolean;
}

export interface Heatmap {
  rows: number;
  columns: number;
  row_factor: number;
  column_factor: number;
  limits: [number, number];
  signed: boolean;
  data: Float32Array;
  low: Float32Array | null;
  high: Float32Array | null;
  before: Float32Array | null;
}

export interface Margin {
  label: string;
  values: Float32Array;
  before: Float32Array | null;
  limits: [number, number];
}

export interface Trace {
  unit: number;
  series: Record<string, { after: Float32Array; before: Float32Array | null }>;
  previous: Record<string, Float32Array>;
}

export interface Gradient {
  total: Float32Array;
  local: Float32Array;
  caption: string;
  /** What the local gradient is of, where that is less than the caption says. */
  local_label?: string;
}

export interface Answer {
  caption: string;
  labels: string[];
  before: Float32Array;
  after: Float32Array;
  range: [number, number] | null;
  edited: boolean;
  picked: number;
  headline: string;
}

export type Kind = "shift" | "clamp";

export interface Gate {
  site: string;
  label: string;
  symbol: string;
  low: string;
  high: string;
  clamp: [number, number];
  shift: [number, number];
  kinds: Kind[];
}

export interface FilledFrame extends WaitingFrame {
  state: "filled";
  layers: LayerEntry[];
  layer: string;
  sequences: number;
  sequence: number;
  sequence_label: string;
  steps: number;
  reverse: boolean;
  tokens: string[] | null;
  inputs: { names: string[]; data: Float32Array } | null;
  sites: Site[];
  site: string;
  order: Int32Array;
  heatmap: Heatmap;
  margin: Margin;
  edited_units: Int32Array;
  residual: { text: string; ok: boolean };
  trace: Trace;
  gradient: Gradient | null;
  gradient_message: string;
  answer: Answer | null;
  panel: Gate[];
  edits: string[];
  truncated: string;
}

export type Frame = WaitingFrame | FilledFrame;

type Bytes = DataView | ArrayBuffer | Uint8Array;

/** The same shape with every typed array still in bytes. */
export type Wire<T> = T extends Float32Array | Int32Array
  ? Bytes
  : T extends (infer Item)[]
    ? T extends [number, number]
      ? T
      : Wire<Item>[]
    : T extends object
      ? { [Key in keyof T]: Wire<T[Key]> }
      : T;

export type WireFrame = Wire<WaitingFrame> | Wire<FilledFrame>;

export function isFilled(frame: Frame | null): frame is FilledFrame {
  return frame?.state === "filled";
}

export function currentLayer(frame: FilledFrame): LayerEntry | undefined {
  return frame.layers.find((layer) => layer.name === frame.layer);
}

export function currentSite(frame: FilledFrame): Site {
  const found = frame.sites.find((site) => site.name === frame.site);
  return found ?? { name: frame.site, label: frame.site, symbol: frame.site, signed: frame.heatmap.signed };
}

/** The units that one row of the heatmap stands for, in display order. */
export function unitsOfRow(frame: FilledFrame, row: number): number[] {
  const factor = frame.heatmap.row_factor;
  return [...frame.order.subarray(row * factor, (row + 1) * factor)];
}

export function rowOfUnit(frame: FilledFrame, unit: number): number {
  const place = frame.order.indexOf(unit);
  return place < 0 ? -1 : Math.floor(place / frame.heatmap.row_factor);
}

function buffer(bytes: Bytes): [ArrayBufferLike, number, number] {
  return bytes instanceof ArrayBuffer
    ? [bytes, 0, bytes.byteLength]
    : [bytes.buffer, bytes.byteOffset, bytes.byteLength];
}

/** The bytes as a typed array; copied only where the host hands them over unaligned. */
function aligned(bytes: Bytes): [ArrayBufferLike, number, number] {
  const [data, offset, length] = buffer(bytes);
  return offset % 4 === 0 ? [data, offset, length / 4] : [data.slice(offset, offset + length), 0, length / 4];
}

function floats(name: string, bytes: Bytes, expected: number): Float32Array {
  const array = new Float32Array(...aligned(bytes));
  if (array.length !== expected) throw new Error(`${name}: ${array.length} values where ${expected} belong`);
  return array;
}

function maybe(name: string, bytes: Bytes | null, expected: number): Float32Array | null {
  return bytes === null ? null : floats(name, bytes, expected);
}

function decodeTrace(wire: Wire<Trace>, steps: number): Trace {
  const series: Trace["series"] = {};
  for (const [site, pair] of Object.entries(wire.series))
    series[site] = {
      after: floats(`trace ${site}`, pair.after, steps),
      before: maybe(`trace ${site} before`, pair.before, steps),
    };
  const previous: Trace["previous"] = {};
  for (const [state, bytes] of Object.entries(wire.previous))
    previous[state] = floats(`trace previous ${state}`, bytes, steps);
  return { unit: wire.unit, series, previous };
}

function decodeFilled(wire: Wire<FilledFrame>): FilledFrame {
  const { heatmap, margin, inputs, gradient, answer, steps } = wire;
  const cells = heatmap.rows * heatmap.columns;
  return {
    ...wire,
    order: new Int32Array(...aligned(wire.order)),
    edited_units: new Int32Array(...aligned(wire.edited_units)),
    inputs: inputs && { ...inputs, data: floats("inputs", inputs.data, inputs.names.length * steps) },
    heatmap: {
      ...heatmap,
      data: floats("heatmap", heatmap.data, cells),
      low: maybe("heatmap low", heatmap.low, cells),
      high: maybe("heatmap high", heatmap.high, cells),
      before: maybe("heatmap before", heatmap.before, cells),
    },
    margin: {
      ...margin,
      values: floats("margin", margin.values, heatmap.rows),
      before: maybe("margin before", margin.before, heatmap.rows),
    },
    trace: decodeTrace(wire.trace, steps),
    gradient: gradient && {
      ...gradient,
      total: floats("gradient total", gradient.total, steps),
      local: floats("gradient local", gradient.local, steps),
    },
    answer: answer && {
      ...answer,
      before: floats("answer before", answer.before, answer.labels.length),
      after: floats("answer after", answer.after, answer.labels.length),
    },
  };
}

const isFilledWire = (wire: WireFrame): wire is Wire<FilledFrame> => wire.state === "filled";

/** The frame in a trait's value; null before Python has made one. */
export function decode(wire: WireFrame | Record<string, never>): Frame | null {
  if (!("version" in wire)) return null;
  const frame = wire as WireFrame;
  return isFilledWire(frame) ? decodeFilled(frame) : frame;
}
