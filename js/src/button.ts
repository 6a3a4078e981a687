import { setAttribute } from "./dom";

/** Acts on a press, unless the button is off. */
export function onPress(button: HTMLButtonElement, act: () => void): void {
  button.addEventListener("click", () => {
    if (!isOff(button)) act();
  });
}

/** A button that was disabled would drop the keyboard's focus, so one that is off only says that it does nothing. */
export function turnOff(button: HTMLButtonElement, off: boolean): void {
  setAttribute(button, "aria-disabled", String(off));
}

/** The same for a button that is there only where it does something: it stays until the focus has gone on. */
export function putAway(button: HTMLButtonElement, away: boolean): void {
  turnOff(button, away);
  button.hidden = away && document.activeElement !== button;
  button.onblur = () => {
    button.hidden = isOff(button);
  };
}

const isOff = (button: HTMLButtonElement) => button.getAttribute("aria-disabled") === "true";
