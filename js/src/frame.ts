/** One picture, and what Python sends of it: JSON with float32 and int32 arrays as bytes. */

import type { Ripple } from "./ripple_frame";

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

/** A forecast and what it should have been, channel by channel. */
export interface Series {
  channels: number;
  steps: number;
  before: Float32Array;
  after: Float32Array;
  truth: Float32Array;
}

/** Many numbers without names. */
export interface Strip {
  columns: number;
  count: number;
  limit: number;
  before: Float32Array;
  after: Float32Array;
  mean_change: number;
  most_change: number;
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
  /** What is the most probable now, where that is another; empty where it is not. */
  overtaken?: string;
  /** Whether the numbers are probabilities. */
  chance?: boolean;
  truth?: Float32Array | null;
  series?: Series | null;
  strip?: Strip | null;
}

export type WireAnswer = Wire<Answer>;

/** The steps [start, stop) of a channel as they were, how far they were moved and by what they were scaled. */
export interface Moved {
  channel: number;
  start: number;
  stop: number;
  move: number;
  gain: number;
}

/** What a person can change of the input here, and what was changed. */
export interface Writing {
  /** Why words cannot be retyped, and pulses not moved; empty where they can, null where there are none. */
  words: string | null;
  pulses: string | null;
  /** The last pulse of each channel that was moved or scaled. */
  moved?: Moved[];
  told: string[];
  changed_steps: number[];
  /** Steps that the run before does not have. */
  new_steps?: number[];
  /** What the model reads at each step, where it reads numbers for words. */
  reads: string[] | null;
}

/** Continuous inputs, a line for each channel; `before` where they were changed. */
export interface Inputs {
  names: string[];
  data: Float32Array;
  before?: Float32Array | null;
}

export type Kind = "shift" | "clamp" | "scale";

export interface Gate {
  site: string;
  label: string;
  symbol: string;
  low: string;
  high: string;
  clamp: [number, number];
  /** What a clamp can hold it at, where that is more than the slider has; null is no end. */
  bounds?: (number | null)[];
  shift: [number, number];
  scale: [number, number];
  kinds: Kind[];
  /** What the dial does at first. */
  kind: Kind;
}

/** Where an edit lies; null is every unit, every step. */
export interface Region {
  units: number[] | null;
  /** Runs [start, stop). */
  steps: [number, number][] | null;
}

export interface FilledFrame extends WaitingFrame {
  state: "filled";
  layers: LayerEntry[];
  layer: string;
  /** How often the layer was called, each time from a state of its own; the last call is shown. */
  calls: number;
  /** What computes otherwise since the model is in training mode; empty where nothing does. */
  training?: string;
  sequences: number;
  sequence: number;
  sequence_label: string;
  steps: number;
  reverse: boolean;
  tokens: string[] | null;
  inputs: Inputs | null;
  sites: Site[];
  site: string;
  order: Int32Array;
  heatmap: Heatmap;
  margin: Margin;
  edited: Region[];
  residual: { text: string; ok: boolean };
  trace: Trace;
  gradient: Gradient | null;
  gradient_message: string;
  answer: Answer | null;
  /** Why there is none; empty where the model simply gives none. */
  answer_error?: string;
  /** Counts the answers, so that a lane that comes later finds the one it belongs to. */
  answer_number?: number;
  ripple?: Ripple | null;
  writing?: Writing;
  panel: Gate[];
  edits: string[];
  truncated: string;
}

export type Frame = WaitingFrame | FilledFrame;

export type Bytes = DataView | ArrayBuffer | Uint8Array;

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

/** A heatmap whose cells before the edit may be named by the version of those that were sent once. */
export type WireFilled = Omit<Wire<FilledFrame>, "heatmap"> & {
  heatmap: Omit<Wire<Heatmap>, "before"> & { before: Bytes | number | null };
};

export type WireFrame = Wire<WaitingFrame> | WireFilled;

/** The cells of the run before, sent when they change. */
export interface SentBefore {
  version: number;
  cells: Bytes;
}

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
