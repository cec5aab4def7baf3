import { type SectionLayout, sectionsOf } from '../shared/model/sections.ts';
import type { Prediction } from '../shared/protocol/messages/result.ts';
import type { Arrival } from '../shared/runtime/frame-parser.ts';
import type { OpenFrameEffect } from './coordinator/effects.ts';
import type { FrameAnswer, Opened } from './data-plane/data-plane.ts';
import type { ServedPlan } from './served-model.ts';
import { mergeSections } from './tasks/merge-sections.ts';

/** A frame whose sections are frames of their own, with what was found in those that have ended. */
interface SectionedFrame {
  readonly arrival: Arrival;
  readonly served: ServedPlan;
  readonly layout: SectionLayout;
  size: Opened;
  readonly found: (readonly Prediction[])[];
}

/** Keeps what was found in sections until their frame ends, and merges it. By the frame's i_id. */
export class SectionedFrames {
  readonly #frames = new Map<string, SectionedFrame>();

  /** A section is opened, the first one of a frame or a further one. */
  opened({ frame_id, layout }: NonNullable<OpenFrameEffect['section']>, arrival: Arrival, served: ServedPlan): void {
    if (this.#frames.has(frame_id)) return;
    this.#frames.set(frame_id, { arrival, served, layout, size: { width: null, height: null }, found: [] });
  }

  /** A section is released; `size` is that of the whole picture. */
  released(
    { frame_id, number }: NonNullable<OpenFrameEffect['section']>,
    size: Opened,
    answer: FrameAnswer | undefined,
  ): void {
    const frame = this.#frames.get(frame_id);
    if (frame === undefined) return;
    if (size.width !== null) frame.size = size;
    frame.found[number] = answer?.predictions ?? [];
  }

  /** A frame has ended: what it was, and everything that was found in it. */
  take(
    frameId: string,
  ): Pick<SectionedFrame, 'arrival' | 'served' | 'size'> & { readonly answer: FrameAnswer | undefined } {
    const { arrival, served, layout, size, found } = this.#frames.get(frameId)!;
    this.#frames.delete(frameId);
    const { width, height } = size;
    if (width === null || height === null) return { arrival, served, size, answer: undefined };
    const picture = { width, height };
    const { iou_threshold } = served.model.card.output;
    const answer = mergeSections(found, sectionsOf(layout, picture), picture, iou_threshold);
    return { arrival, served, size, answer: { ...answer, regions: [] } };
  }
}
