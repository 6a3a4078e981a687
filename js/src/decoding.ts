/** From the bytes of a trait to typed arrays. */

import type {
  Answer,
  Bytes,
  FilledFrame,
  Frame,
  SentBefore,
  Trace,
  Wire,
  WireFilled,
  WireFrame,
} from "./frame";
import { decodeRipple, type WireRipple } from "./ripple_frame";

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

export function decodeAnswer(wire: Wire<Answer> | null): Answer | null {
  if (!wire) return null;
  const { labels, series, strip } = wire;
  const size = series ? series.channels * series.steps : 0;
  return {
    ...wire,
    before: floats("answer before", wire.before, labels.length),
    after: floats("answer after", wire.after, labels.length),
    truth: maybe("answer truth", wire.truth ?? null, labels.length),
    series: series
      ? {
          ...series,
          before: floats("forecast before", series.before, size),
          after: floats("forecast after", series.after, size),
          truth: floats("truth", series.truth, size),
        }
      : null,
    strip: strip
      ? {
          ...strip,
          before: floats("answer before", strip.before, strip.columns),
          after: floats("answer after", strip.after, strip.columns),
        }
      : null,
  };
}

function cellsBefore(before: Bytes | number | null, sent: SentBefore | Record<string, never>): Bytes | null {
  if (typeof before !== "number") return before;
  if (sent.version === before) return sent.cells;
  throw new Error(`heatmap before: version ${sent.version ?? "none"} was sent where ${before} belongs`);
}

function decodeFilled(wire: WireFilled, sent: SentBefore | Record<string, never>): FilledFrame {
  const { heatmap, margin, inputs, gradient, answer, steps } = wire;
  const cells = heatmap.rows * heatmap.columns;
  return {
    ...wire,
    order: new Int32Array(...aligned(wire.order)),
    inputs: inputs && {
      ...inputs,
      data: floats("inputs", inputs.data, inputs.names.length * steps),
      before: maybe("inputs before", inputs.before ?? null, inputs.names.length * steps),
    },
    heatmap: {
      ...heatmap,
      data: floats("heatmap", heatmap.data, cells),
      low: maybe("heatmap low", heatmap.low, cells),
      high: maybe("heatmap high", heatmap.high, cells),
      before: maybe("heatmap before", cellsBefore(heatmap.before, sent), cells),
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
    answer: decodeAnswer(answer),
    ripple: decodeRipple(wire.ripple as unknown as WireRipple | null | undefined),
  };
}

const isFilledWire = (wire: WireFrame): wire is WireFilled => wire.state === "filled";

/** The frame in a trait's value; null before Python has made one. */
export function decode(
  wire: WireFrame | Record<string, never>,
  sent: SentBefore | Record<string, never> = {},
): Frame | null {
  if (!("version" in wire)) return null;
  const frame = wire as WireFrame;
  return isFilledWire(frame) ? decodeFilled(frame, sent) : frame;
}
