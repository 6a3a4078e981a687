/**
 * Colour maps made from OKLab stops: lightness is linear in the value and equal steps of the value are
 * equal distances in OKLab, so that they are perceptually uniform by construction.
 */

export type Lab = readonly [lightness: number, a: number, b: number];
export type Rgb = readonly [number, number, number];

export const polar = (lightness: number, chroma: number, hue: number): Lab => [
  lightness,
  chroma * Math.cos((hue * Math.PI) / 180),
  chroma * Math.sin((hue * Math.PI) / 180),
];

const BLUE = polar(0.42, 0.138, 257);
const LIGHT: Lab = [0.97, 0, 0];
const ORANGE = polar(0.42, 0.128, 38);
const PALE = polar(0.96, 0.025, 108);
const GREEN = polar(0.38, 0.085, 160);

const DEEP: Lab = [0.23, 0, 0];
const BRIGHT_BLUE = polar(0.8, 0.105, 240);
const BRIGHT_ORANGE = polar(0.8, 0.125, 62);
const DEEP_GREEN = polar(0.23, 0.015, 160);
const BRIGHT_GREEN = polar(0.82, 0.13, 155);

function toLinearRgb([lightness, a, b]: Lab): Rgb {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

export function labToRgb(lab: Lab): Rgb {
  const [red, green, blue] = toLinearRgb(lab).map((channel) => {
    const bounded = Math.min(1, Math.max(0, channel));
    return Math.round(255 * (bounded <= 0.0031308 ? 12.92 * bounded : 1.055 * bounded ** (1 / 2.4) - 0.055));
  });
  return [red!, green!, blue!];
}

export function inGamut(lab: Lab): boolean {
  return toLinearRgb(lab).every((channel) => channel > -1e-4 && channel < 1.0001);
}

const between = (from: Lab, to: Lab, share: number): Lab => [
  from[0] + (to[0] - from[0]) * share,
  from[1] + (to[1] - from[1]) * share,
  from[2] + (to[2] - from[2]) * share,
];

type Along = (share: number) => Lab;

const diverging =
  (low: Lab, zero: Lab, high: Lab): Along =>
  (share) =>
    share < 0.5 ? between(low, zero, share * 2) : between(zero, high, share * 2 - 1);

export const divergingLab = diverging(BLUE, LIGHT, ORANGE);
export const sequentialLab: Along = (share) => between(PALE, GREEN, share);
export const divergingDarkLab = diverging(BRIGHT_BLUE, DEEP, BRIGHT_ORANGE);
export const sequentialDarkLab: Along = (share) => between(DEEP_GREEN, BRIGHT_GREEN, share);

/** 256 colours as the bytes R, G, B, A of an ImageData row. */
function table(at: Along): Uint8ClampedArray {
  const bytes = new Uint8ClampedArray(256 * 4);
  for (let index = 0; index < 256; index++) bytes.set([...labToRgb(at(index / 255)), 255], index * 4);
  return bytes;
}

export interface ColorMap {
  bytes: Uint8ClampedArray;
  /** The same colours, one word a pixel. */
  words: Uint32Array;
  /** Whether small values are dark. */
  dark: boolean;
  css(index: number): string;
}

function colorMap(at: Along, dark = false): ColorMap {
  const bytes = table(at);
  const css = (index: number) => `rgb(${bytes[index * 4]} ${bytes[index * 4 + 1]} ${bytes[index * 4 + 2]})`;
  return { bytes, words: new Uint32Array(bytes.buffer), dark, css };
}

export const DIVERGING = colorMap(divergingLab);
export const SEQUENTIAL = colorMap(sequentialLab);
export const DIVERGING_DARK = colorMap(divergingDarkLab, true);
export const SEQUENTIAL_DARK = colorMap(sequentialDarkLab, true);

/** On a dark page no value is dark: light stands for what is there, not for its absence. */
export function colorsOf(signed: boolean, { dark }: { dark: boolean }): ColorMap {
  if (dark) return signed ? DIVERGING_DARK : SEQUENTIAL_DARK;
  return signed ? DIVERGING : SEQUENTIAL;
}

export function colorIndex(value: number, [low, high]: readonly [number, number]): number {
  if (!(high > low)) return 128;
  return Math.min(255, Math.max(0, Math.round(((value - low) / (high - low)) * 255)));
}
