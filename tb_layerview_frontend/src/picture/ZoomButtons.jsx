/**
 * Enlarges a picture, and makes it smaller again.
 * @param {{smallest: boolean, largest: boolean, onEnlarge: () => void, onReduce: () => void, onAll: () => void}} props
 *   `smallest` and `largest`: whether it is as small, or as large, as it can be
 */
export function ZoomButtons({ smallest, largest, onEnlarge, onReduce, onAll }) {
  return (
    <div class="lv-zoom" role="group" aria-label="Zoom">
      <button
        type="button"
        aria-label="Enlarge the picture"
        title="Enlarge (+, or turn the wheel over the picture)"
        data-testid="zoom-in"
        disabled={largest}
        onClick={onEnlarge}
      >
        +
      </button>
      <button
        type="button"
        aria-label="Make the picture smaller"
        title="Make smaller (−)"
        data-testid="zoom-out"
        disabled={smallest}
        onClick={onReduce}
      >
        −
      </button>
      <button
        type="button"
        aria-label="Show all of the picture"
        title="Show all of it (0)"
        data-testid="zoom-all"
        disabled={smallest}
        onClick={onAll}
      >
        ⤢
      </button>
    </div>
  );
}
