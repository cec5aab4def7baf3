import { useEffect } from 'preact/hooks';
import { html } from './html.js';
import { Boxes, Picture } from './picture.js';
import { milliseconds } from './text.js';

/**
 * @import { ApiFrame, ApiState } from '../api.ts'
 * @import { Live } from './live.js'
 */

/** Cameras of which pictures are shown; the others are listed. */
const PICTURES = 12;

/**
 * The picture of each camera with what was found on it.
 * @param {{ live: Live, state: ApiState }} props
 */
export function Cameras({ live, state }) {
  const names = Object.keys(state.cameras).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const shown = names.slice(0, PICTURES);
  useEffect(() => live.watch(shown), [shown.join()]);
  useEffect(() => () => live.watch([]), []);
  if (names.length === 0)
    return html`<h1>Cameras</h1><p>No frame yet. Publish a JPEG on <code>${state.central.base}/input/NAME</code>, and camera NAME is here.</p>`;
  return html`
    <h1>Cameras</h1>
    <ul class="cards wide">
      ${names.map((name) => html`<${CameraCard} key=${name} name=${name} live=${live} state=${state} />`)}
    </ul>
  `;
}

/** @param {{ name: string, live: Live, state: ApiState }} props */
function CameraCard({ name, live, state }) {
  const { status, labels } = state.cameras[name];
  const frame = live.frames.get(name);
  const stats = state.stats?.cameras[name];
  const skipped = Object.entries(stats?.skipped ?? {});
  return html`
    <li class="card camera" data-camera=${name}>
      <h2>${name}<span class="state ${status}">${status}</span></h2>
      ${
        frame !== undefined &&
        html`
        <a href="#frame/${encodeURIComponent(name)}" aria-label="tiles of ${name}">
          <${Picture} frame=${frame}><${Boxes} frame=${frame} /><//>
        </a>
        <p>
          <b>${frame.result.model}</b>: ${foundIn(frame.result)} <span class="quiet">in ${milliseconds(frame.result.latency_ms)}</span>
          ${frame.result.status !== 'ok' && html` <span class="bad">${frame.result.error?.message ?? frame.result.status}</span>`}
        </p>
      `
      }
      <p class="quiet">
        ${
          stats === undefined
            ? 'no frame in the last ten seconds'
            : `${stats.process_fps} of ${stats.camera_fps} frames a second, ${milliseconds(stats.latency_ms.p50)} each`
        }
        ${skipped.length > 0 && `; skipped: ${skipped.map(([reason, count]) => `${count} ${reason}`).join(', ')}`}
      </p>
      ${Object.entries(labels).map(
        ([model, label]) => html`<p class="quiet" key=${model}>${model} says <b>${label}</b></p>`,
      )}
    </li>
  `;
}

/** @param {ApiFrame['result']} result */
function foundIn({ top, predictions, task }) {
  if (top === null) return task === 'classify' || task === 'detect' ? 'nothing found' : task;
  const more = task === 'detect' && predictions.length > 1 ? ` and ${predictions.length - 1} more` : '';
  return `${top.label} ${Math.round(top.score * 100)} %${more}`;
}
