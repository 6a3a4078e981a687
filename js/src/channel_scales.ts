import { rangeOf } from "./answer_series";

/** Channels whose sizes lie within this factor of each other are drawn on one scale, so that they compare. */
const COMPARABLE = 20;

/** What a channel's height stands for, and the numbers beside it. */
export interface ChannelScale {
  range: [number, number];
  ticks: number[];
}

const silent = (lines: Float32Array[]) =>
  lines.every((line) => line.every((value) => value === 0 || !Number.isFinite(value)));

/** A scale with zero in it for each channel, of which there are one or more lines; a silent one has zero alone. */
export function channelScales(channels: Float32Array[][]): ChannelScale[] {
  const own = channels.map((lines) => (silent(lines) ? null : rangeOf([...lines, new Float32Array(1)])));
  const sounding = own.filter((range) => range !== null);
  const sizes = sounding.map(([low, high]) => high - low);
  const one: [number, number] | null =
    sizes.length > 0 && Math.max(...sizes) <= COMPARABLE * Math.min(...sizes)
      ? [Math.min(...sounding.map(([low]) => low)), Math.max(...sounding.map(([, high]) => high))]
      : null;
  return own.map((range) =>
    range
      ? { range: one ?? range, ticks: [(one ?? range)[1], (one ?? range)[0]] }
      : { range: one ?? [-1, 1], ticks: [0] },
  );
}
