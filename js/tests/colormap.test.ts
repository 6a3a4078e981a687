import { describe, expect, it } from "vitest";
import {
  type ColorMap,
  colorIndex,
  colorsOf,
  DIVERGING,
  DIVERGING_DARK,
  divergingDarkLab,
  divergingLab,
  inGamut,
  type Lab,
  SEQUENTIAL,
  SEQUENTIAL_DARK,
  sequentialDarkLab,
  sequentialLab,
} from "../src/colormap";
import { isDark } from "../src/theme";

const shares = Array.from({ length: 256 }, (_, index) => index / 255);

/** OKLab of an sRGB byte triple, worked out on its own. */
function labOf(bytes: Uint8ClampedArray, index: number): Lab {
  const [r, g, b] = [0, 1, 2].map((channel) => {
    const value = bytes[index * 4 + channel]! / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

const distance = (a: Lab, b: Lab) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** Distances over strides of 16 entries, so that rounding to bytes does not drown them. */
function strides(bytes: Uint8ClampedArray, from: number, to: number): number[] {
  const found: number[] = [];
  for (let index = from; index + 16 <= to; index += 16)
    found.push(distance(labOf(bytes, index), labOf(bytes, index + 16)));
  return found;
}

describe("colour maps", () => {
  it.each([
    ["diverging", divergingLab],
    ["sequential", sequentialLab],
    ["dark diverging", divergingDarkLab],
    ["dark sequential", sequentialDarkLab],
  ])("the %s map stays inside sRGB", (_, at) => {
    expect(shares.filter((share) => !inGamut(at(share)))).toEqual([]);
  });

  it.each([
    ["diverging, negative side", DIVERGING.bytes, 0, 127],
    ["diverging, positive side", DIVERGING.bytes, 128, 255],
    ["sequential", SEQUENTIAL.bytes, 0, 255],
    ["dark diverging, negative side", DIVERGING_DARK.bytes, 0, 127],
    ["dark diverging, positive side", DIVERGING_DARK.bytes, 128, 255],
    ["dark sequential", SEQUENTIAL_DARK.bytes, 0, 255],
  ])("equal steps look equal: %s", (_, bytes, from, to) => {
    const found = strides(bytes, from, to);
    expect(Math.max(...found) / Math.min(...found)).toBeLessThan(1.12);
  });

  it.each([
    ["diverging, negative side", DIVERGING.bytes, 0, 127, 1],
    ["diverging, positive side", DIVERGING.bytes, 128, 255, -1],
    ["sequential", SEQUENTIAL.bytes, 0, 255, -1],
    ["dark diverging, negative side", DIVERGING_DARK.bytes, 0, 127, -1],
    ["dark diverging, positive side", DIVERGING_DARK.bytes, 128, 255, 1],
    ["dark sequential", SEQUENTIAL_DARK.bytes, 0, 255, 1],
  ])("lightness is linear: %s", (_, bytes, from, to, direction) => {
    const start = labOf(bytes, from)[0];
    const end = labOf(bytes, to)[0];
    expect(Math.sign(end - start)).toBe(direction);
    for (let index = from; index <= to; index++) {
      const line = start + ((end - start) * (index - from)) / (to - from);
      expect(Math.abs(labOf(bytes, index)[0] - line)).toBeLessThan(0.006);
    }
  });

  it.each([
    ["light", DIVERGING, 0.95, 1],
    ["dark", DIVERGING_DARK, 0, 0.25],
  ])("zero is %s and neutral; equal sizes are equally far from it", (_, { bytes }, least, most) => {
    const middle = labOf(bytes, 128);
    expect(middle[0]).toBeGreaterThan(least);
    expect(middle[0]).toBeLessThan(most);
    expect(Math.hypot(middle[1], middle[2])).toBeLessThan(0.01);
    expect(labOf(bytes, 0)[0]).toBeCloseTo(labOf(bytes, 255)[0], 2);
  });

  it("nothing is dark on a dark page and light on a light one", () => {
    const atZero = (map: ColorMap, index: number) => isDark(map.css(index));
    expect([true, false].map((signed) => atZero(colorsOf(signed, { dark: true }), signed ? 128 : 0))).toEqual(
      [true, true],
    );
    expect(
      [true, false].map((signed) => atZero(colorsOf(signed, { dark: false }), signed ? 128 : 0)),
    ).toEqual([false, false]);
    const light = ["rgb(255, 255, 255)", "oklch(0.98 0 0)", "color(srgb 1 1 1)", "transparent"];
    expect(light.map(isDark)).toEqual([false, false, false, false]);
    expect(["rgb(17, 17, 17)", "oklch(0.2 0 0)", "color(srgb 0 0 0)"].map(isDark)).toEqual([
      true,
      true,
      true,
    ]);
  });

  it("maps the limits to the ends and everything beyond too", () => {
    expect([-1, 0, 1].map((value) => colorIndex(value, [-1, 1]))).toEqual([0, 128, 255]);
    expect([-9, 9].map((value) => colorIndex(value, [-1, 1]))).toEqual([0, 255]);
    expect(colorIndex(3, [3, 3])).toBe(128);
  });
});
