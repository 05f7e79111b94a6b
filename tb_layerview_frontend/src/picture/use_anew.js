/** What begins anew when another tensor is shown. */

import { useEffect, useRef } from "preact/hooks";

/**
 * Another tensor has other elements: what was pointed out and enlarged of the one before is none of its own.
 * @param {number} tensor
 * @param {() => void} forget
 */
export function useAnew(tensor, forget) {
  const opened = useRef(tensor);
  useEffect(() => {
    if (opened.current === tensor) return;
    opened.current = tensor;
    forget();
  }, [tensor]);
}
