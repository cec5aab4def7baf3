import { html } from './html.js';

/** @import { ApiFrame } from '../api.ts' */

/**
 * A frame's picture in an SVG of the frame's size, with `children` drawn over it. The picture of the frame before stays
 * until the new one has come.
 * @param {{ frame: ApiFrame, children?: unknown }} props
 */
export function Picture({ frame, children }) {
  const { result, picture } = frame;
  const { width, height } = sizeOf(frame);
  return html`
    <svg class="picture" viewBox="0 0 ${width} ${height}" role="img" aria-label="frame ${result.id} of ${result.camera}">
      ${
        picture
          ? html`<image
              href="/api/v1/frames/${result.camera}/${result.id}/picture"
              width=${width}
              height=${height}
              preserveAspectRatio="none"
            />`
          : html`<rect class="nothing" width=${width} height=${height} />
              <text class="hint" x=${width / 2} y=${height / 2} font-size=${width / 24} text-anchor="middle">
                ${result.width === null ? 'a tensor' : 'its picture stays at its node'}
              </text>`
      }
      ${children}
    </svg>
  `;
}

/**
 * The size that a frame is drawn in, pixels.
 * @param {ApiFrame} frame
 */
export function sizeOf({ result }) {
  return { width: result.width ?? 640, height: result.height ?? 480 };
}

/**
 * What was found, as boxes with labels.
 * @param {{ frame: ApiFrame }} props
 */
export function Boxes({ frame }) {
  const { width } = sizeOf(frame);
  const size = width / 36;
  return frame.result.predictions.map(({ label, score, box }, k) => {
    if (box === undefined) return null;
    const [x1, y1, x2, y2] = box;
    const text = `${label} ${Math.round(score * 100)} %`;
    return html`
      <g class="found" key=${k}>
        <rect x=${x1} y=${y1} width=${x2 - x1} height=${y2 - y1} stroke-width=${width / 240} />
        <text x=${x1 + size / 4} y=${Math.max(size, y1 - size / 4)} font-size=${size} stroke-width=${size / 5}>${text}</text>
      </g>
    `;
  });
}
