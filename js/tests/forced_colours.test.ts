import { beforeEach, expect, it, onTestFinished } from "vitest";
import { cdp } from "vitest/browser";
import { lstmFrame } from "./fixture";
import { HEATMAP, mount, point } from "./mount";

const force = (value: "active" | "none") =>
  (cdp() as unknown as { send(method: string, parameters: object): Promise<void> }).send(
    "Emulation.setEmulatedMedia",
    { features: [{ name: "forced-colors", value }] },
  );

const look = (element: Element) => getComputedStyle(element);

/** What the system paints with a colour of that name. */
function system(name: string): string {
  const probe = document.createElement("span");
  probe.style.backgroundColor = name;
  document.body.append(probe);
  onTestFinished(() => probe.remove());
  return look(probe).backgroundColor;
}

beforeEach(async () => {
  await force("active");
  onTestFinished(() => force("none"));
  await expect.poll(() => matchMedia("(forced-colors: active)").matches).toBe(true);
});

it("the chosen chip of every choice is told from the others", async () => {
  const { root } = await mount({ steps: [3, 9], _frame: lstmFrame({ edited: true }) });
  const chosen = [...root.querySelectorAll('[role="radio"][aria-checked="true"]')];
  expect(chosen.length).toBeGreaterThan(5);
  for (const chip of chosen) {
    expect(look(chip).backgroundColor, chip.outerHTML).toBe(system("Highlight"));
    expect(look(chip).color).toBe(system("HighlightText"));
  }
  for (const chip of root.querySelectorAll('[role="radio"][aria-checked="false"]'))
    expect(look(chip).backgroundColor).not.toBe(system("Highlight"));
});

it("the answer's bars are filled, and the cells under the cursor have their frame", async () => {
  const { root, find } = await mount({ _frame: lstmFrame({ edited: true }) });
  for (const bar of root.querySelectorAll(".rnnwidget-bar-after"))
    expect(look(bar).backgroundColor).toBe(system("CanvasText"));
  point(find(HEATMAP), "pointermove", 0.5);
  for (const frame of [find(".rnnwidget-cell"), find(".rnnwidget-row")])
    expect(look(frame).boxShadow).not.toBe("none");
  const word = look(find(".rnnwidget-text .rnnwidget-at-cursor"));
  expect([word.backgroundColor, word.color]).toEqual([system("Highlight"), system("HighlightText")]);
});
