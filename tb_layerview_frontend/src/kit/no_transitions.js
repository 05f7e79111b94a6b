/**
 * In the place of d3-transition, of which d3-zoom wants this alone: nothing here is set in motion, so there is nothing to
 * interrupt.
 */
export function interrupt() {}
