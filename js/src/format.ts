const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

const withMinus = (text: string) => text.replaceAll("-", "−");

/** A value for reading: three decimals, an exponent where they would hide it, a true minus sign. */
export function formatValue(value: number | undefined, digits = 3): string {
  if (value === undefined) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.5 * 10 ** -digits || size >= 1000)) return withMinus(value.toExponential(1));
  const text = value.toFixed(digits);
  return withMinus(Number(text) === 0 ? text.replace("-", "") : text);
}

/** A probability: two decimals, three where two would hide it. */
export function formatChance(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return formatValue(value);
  return withMinus(value.toFixed(value !== 0 && Math.abs(value) < 0.005 ? 3 : 2));
}

/** A short number for axes, limits and controls: no trailing zeros. */
export function formatShort(value: number, digits = 2): string {
  if (!Number.isFinite(value)) return formatValue(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 10 ** -digits || size >= 10000)) return withMinus(value.toExponential(0));
  return withMinus(String(Number(value.toFixed(digits))));
}

/** A whole number with its thousands apart. */
export function formatWhole(value: number): string {
  return withMinus(Math.round(value).toLocaleString("en"));
}

export function formatExponent(value: number, digits: number): string {
  return withMinus(value.toExponential(digits));
}

/** Two decimals, and more where they would make a whole number of what is none: 0.001 is not zero. */
export function formatExact(value: number): string {
  const whole = (digits: number) => Number.isInteger(Number(value.toFixed(digits)));
  const digits = [2, 3, 4, 5, 6].find((few) => Number.isInteger(value) || !whole(few));
  if (digits === undefined || Math.abs(value) >= 1e6) return withMinus(value.toExponential(1));
  return withMinus(value.toFixed(digits));
}

export function formatSigned(value: number): string {
  const text = formatExact(value).replace(/\.0+$|(\.\d*?)0+$/, "$1");
  return value > 0 ? `+${text}` : text;
}

export function formatPower(exponent: number): string {
  const digits = [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPTS[Number(digit)]).join("");
  return `10${exponent < 0 ? "⁻" : ""}${digits}`;
}

export function formatCount(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A token as a label: whitespace made visible. */
export function visibleToken(token: string): string {
  if (token === "") return "∅";
  if (token.trim() !== "") return token;
  return [...token].map((sign) => (sign === "\n" ? "↵" : sign === "\t" ? "⇥" : "␣")).join("");
}
