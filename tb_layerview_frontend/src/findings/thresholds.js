/** How far a threshold can be moved, and where it stands on its slider. */

/** The slider's last place. */
export const PLACES = 400;
/** By how many powers of ten a ratio can be moved either way. */
const DECADES = 3;

/**
 * What kind of number a threshold is: whole, a share, a ratio that is moved by factors, or one whose distance from 1 is.
 * @param {string} name
 * @param {number} usual
 */
function kindOf(name, usual) {
  if (Number.isInteger(usual) && usual >= 1) return "whole";
  if (usual > 0.99 && usual < 1) return "near one";
  return name.includes("share") || usual === 0 ? "share" : "ratio";
}

/**
 * @param {string} name
 * @param {number} usual value
 * @param {number} place on the slider, 0 to `PLACES`
 */
export function valueAt(name, usual, place) {
  const kind = kindOf(name, usual);
  if (kind === "whole") return 1 + Math.round((place / PLACES) * (mostOf(usual) - 1));
  if (kind === "share") return Number((place / PLACES).toFixed(2));
  const factor = 10 ** (DECADES * ((2 * place) / PLACES - 1));
  if (kind === "near one") return Math.max(0, 1 - Number(((1 - usual) / factor).toPrecision(2)));
  return Number((usual * factor).toPrecision(2));
}

/**
 * @param {string} name
 * @param {number} usual value
 * @param {number} value
 * @returns {number} the nearest place on the slider
 */
export function placeOf(name, usual, value) {
  const kind = kindOf(name, usual);
  const share =
    kind === "whole"
      ? (value - 1) / (mostOf(usual) - 1)
      : kind === "share"
        ? value
        : (Math.log10(kind === "ratio" ? value / usual : (1 - usual) / (1 - value)) / DECADES + 1) /
          2;
  return Math.round(PLACES * Math.min(1, Math.max(0, share)));
}

/** @param {number} usual a whole number */
function mostOf(usual) {
  return Math.max(50, 5 * usual);
}
