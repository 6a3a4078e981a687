export const RESET_INPUT = "puts the input back as it was at first; edits of gates stay";

/** A change of the input that the page asks Python for. */
export type InputWish =
  | { kind: "words"; words: string[] }
  /** Moves and scales the steps [start, stop) of a channel, from where the gesture found them. */
  | {
      kind: "pulse";
      channel: number;
      start: number;
      stop: number;
      move: number;
      gain: number;
      gesture: string;
      /** Instead of what was done to those steps last. */
      again?: boolean;
    }
  | { kind: "reset" };
