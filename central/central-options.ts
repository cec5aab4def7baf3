import type { Log } from '../shared/ports.ts';
import type { BusOptions } from '../shared/runtime/bus-options.ts';
import type { CoordinatorOptions } from './coordinator/options.ts';
import type { CameraOptions } from './ingest/camera-options.ts';
import type { ReplannerOptions } from './replanner/replanner.ts';

/** How to reach the broker. */
export type BrokerConnection = Omit<BusOptions, 'clientId' | 'will' | 'log'>;

/** Where people look at a central. */
export interface WindowOptions {
  readonly host: string;
  /** It listens on the first of these that is free; 0 is any. */
  readonly ports: readonly number[];
  /** Folder of releases that nodes may download. */
  readonly releases?: string | undefined;
}

/** What stays the same for as long as a central runs. */
export interface ActiveCentralOptions {
  readonly bus: BrokerConnection;
  readonly base: string;
  readonly cameras: Readonly<Record<string, CameraOptions>>;
  readonly acceptUnlistedCameras: boolean;
  readonly coordinator?: Partial<CoordinatorOptions>;
  /** Home Assistant's discovery; absent: it is told nothing. */
  readonly homeAssistant?: { readonly prefix: string } | undefined;
  /** Is given a function that resolves when the inference thread answers. */
  readonly watch?: ((answers: () => Promise<void>) => void) | undefined;
  readonly log: Log;
}

/** Options of `openCentral` and `startCentral`. */
export interface CentralOptions extends ActiveCentralOptions {
  /** Id in topics, different for each central of a base topic; by default the host's name. */
  readonly id?: string | undefined;
  /** Whether to wait for another active central's end, instead of throwing. */
  readonly standby?: boolean | undefined;
  /**
   * This process has just started the broker: no other central can be active there, so that the election needs no
   * waiting.
   */
  readonly isFirst?: boolean | undefined;
  /** Called when this central begins to wait for another one. */
  readonly onWait?: ((id: string) => void) | undefined;
  /** Folder for blobs of models (`blobs/`), the journal and the epoch. */
  readonly stateDir: string;
  /** The state directory is removed with this process: it need not survive a loss of power. */
  readonly isTransient?: boolean | undefined;
  /** Where people look at it; absent: nowhere. */
  readonly http?: WindowOptions | undefined;
  /** How plans are made again while frames flow; absent: not at all. */
  readonly replan?: Omit<ReplannerOptions, 'settle_ms'> | undefined;
  /** Threads of central's own executor. */
  readonly threads: number;
  readonly sessionMemoryMb: number;
  /** File of the key with which models are signed; absent: made in `stateDir` at the first start. */
  readonly signingKey?: string | undefined;
}
