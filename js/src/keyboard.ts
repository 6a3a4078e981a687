import type { Brush } from "./brush";
import type { Cursor } from "./cursor";
import type { FilledFrame } from "./frame";
import type { Link } from "./link";
import { selectRow } from "./select";

const PAGE = 10;

export interface Keyboard {
  frame(): FilledFrame | null;
  cursor: Cursor;
  link: Link;
  brush: Brush;
  speak(): void;
}

type Move = { step?: number; row?: number };

function moveFor(key: string, frame: FilledFrame, step: number, row: number): Move | null {
  const stride = frame.heatmap.column_factor;
  switch (key) {
    case "ArrowLeft":
      return { step: step - stride };
    case "ArrowRight":
      return { step: step + stride };
    case "ArrowUp":
      return { row: row - 1 };
    case "ArrowDown":
      return { row: row + 1 };
    case "PageUp":
      return { row: row - PAGE };
    case "PageDown":
      return { row: row + PAGE };
    case "Home":
      return { step: 0 };
    case "End":
      return { step: frame.steps - 1 };
    default:
      return null;
  }
}

const within = (value: number, count: number) => Math.min(count - 1, Math.max(0, value));

/** Everything the mouse does on the heatmap. */
export function onHeatmapKey(event: KeyboardEvent, { frame, cursor, link, brush, speak }: Keyboard): void {
  const picture = frame();
  if (!picture || event.ctrlKey || event.metaKey || event.altKey) return;
  const move = moveFor(event.key, picture, cursor.step, cursor.row);
  if (move) {
    const step = within(move.step ?? cursor.step, picture.steps);
    if (event.shiftKey && move.step !== undefined) brush.stretch(cursor.step, step);
    cursor.move({ step, row: within(move.row ?? cursor.row, picture.heatmap.rows) });
    speak();
  } else if (event.key === "Enter") {
    const how = { range: false, toggle: event.shiftKey };
    link.set({ units: selectRow(picture, link.get("units"), cursor.row, how) });
  } else return;
  event.preventDefault();
}
