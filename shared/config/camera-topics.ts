/**
 * What central publishes of a camera, and the least seconds between two messages of a topic by default: of `event`
 * between two updates of an object, of `count` for each label.
 */
export const CAMERA_TOPICS = { result: 0, label: 0, count: 0, event: 1, snapshot: 1, crop: 1 } as const;
/** A kind of message about a camera. */
export type CameraTopic = keyof typeof CAMERA_TOPICS;

/** Whether a kind of message is published at the start, and the least seconds between two of a topic. */
export interface TopicOptions {
  readonly on: boolean;
  readonly interval_s: number;
}

/** How detections of a camera become objects. */
export interface ObjectOptions {
  /** Labels that are followed; empty: all. */
  readonly labels: readonly string[];
  /** Least score of a detection that begins an object. */
  readonly start_score: number;
  /** Seconds without a detection after which an object is gone. */
  readonly gone_after_s: number;
}
