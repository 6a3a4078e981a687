/** A canvas whose bitmap has one pixel per device pixel. */
export interface Surface {
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D;
  /** CSS pixels. */
  width: number;
  height: number;
  ratio: number;
}

/** Sizes the canvas and clears it; the context's unit is the CSS pixel. */
export function prepare(canvas: HTMLCanvasElement, width: number, height: number): Surface {
  const ratio = canvas.ownerDocument.defaultView?.devicePixelRatio || 1;
  const columns = Math.max(1, Math.round(width * ratio));
  const rows = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== columns) canvas.width = columns;
  if (canvas.height !== rows) canvas.height = rows;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser gives no 2d canvas");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, columns, rows);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { canvas, context, width, height, ratio };
}
