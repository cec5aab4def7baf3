/** One picture of a camera. `truth`: what a drawn scene shows. */
export interface Shot {
  readonly id: string;
  readonly bytes: Uint8Array;
  readonly truth?: string;
}

/** What a source says about the stream that it reads; sizes in pixels, `fps` as the stream announces it. */
export interface StreamFacts {
  readonly codec?: string;
  readonly width?: number;
  readonly height?: number;
  readonly fps?: number;
}

/** A camera: pictures one after another; undefined after the last. */
export interface Source {
  next(): Promise<Shot | undefined>;
  stop(): Promise<void>;
  /** Pictures come by themselves and pile up where they are not taken; otherwise each is made when asked for. */
  readonly flows?: boolean;
  readonly facts?: StreamFacts;
  /** CPU time of the program that decodes it so far, ms; undefined where there is none. */
  cpuMs?(): Promise<number | undefined>;
}
