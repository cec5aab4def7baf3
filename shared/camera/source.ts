/** One picture of a camera. `truth`: what a drawn scene shows. */
export interface Shot {
  readonly id: string;
  readonly bytes: Uint8Array;
  readonly truth?: string;
}

/** A camera: pictures one after another, made when asked for; undefined after the last. */
export interface Source {
  next(): Promise<Shot | undefined>;
  stop(): Promise<void>;
}
