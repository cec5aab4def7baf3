/**
 * The one catalogue of coded errors. A code is public surface: it never changes its meaning.
 * Expected failures (a late tile, a bad message) travel as values of `Failure`; `TesseraError` is thrown at start-up
 * and for wrong input of a command.
 */
export const ERROR_CODES = {
  TESSERA_USAGE: 'The command line is wrong.',
  TESSERA_CONFIG: 'The configuration is wrong.',
  TESSERA_MODEL_INVALID: 'The file is not an ONNX model that can be read.',
  TESSERA_MODEL_UNSUPPORTED: 'The model uses something that Tessera cannot run.',
  TESSERA_MODEL_UNKNOWN: 'No model of that name is deployed or in the library.',
  TESSERA_MODEL_CARD: 'model.yaml is wrong.',
  TESSERA_SHAPE: 'A dimension of the model is not known.',
  TESSERA_PLAN_INVALID: 'The plan does not fit the model or is not a plan.',
  TESSERA_INPUT_INVALID: 'The frame is not a picture or tensor that can be read.',
  TESSERA_INPUT_TOO_LARGE: 'The frame is larger than the limits allow.',
  TESSERA_MESSAGE_INVALID: 'A message does not follow the protocol.',
  TESSERA_CODEC: 'Encoded data is corrupt or of an unknown codec.',
  TESSERA_BLOB: 'A piece of a model is missing or does not match its hash.',
  TESSERA_NO_NODES: 'No node can do the work.',
  TESSERA_RUN_FAILED: 'The runtime could not run a piece of the model.',
  TESSERA_DEADLINE: 'The frame was not done in time.',
  TESSERA_CENTRAL_RESTARTED: 'Central stopped while the frame was under way.',
  TESSERA_CENTRAL_ACTIVE: 'Another central is active at this broker.',
  TESSERA_BROKER: 'The broker cannot be reached or refuses.',
  TESSERA_NODE_DUPLICATE: 'Another node with this id is online.',
  TESSERA_STORAGE: 'A file or folder cannot be made or written, or its disk is full.',
  TESSERA_DOWNLOAD: 'A file could not be downloaded or does not match its hash.',
  TESSERA_VERIFY: 'The distributed run differs from the whole network by more than the limit.',
  TESSERA_SIGNATURE: 'A model is not signed by the key that the node trusts.',
  TESSERA_INVITATION: 'The invitation was used, has expired, or was withdrawn.',
  TESSERA_INTERNAL: 'A fault of Tessera itself.',
} as const;

/** A stable error code. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** An expected failure as a value: what went wrong and, where there is one, the way out. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** A coded error for start-up and commands; `hint` says what to do. */
export class TesseraError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TesseraError';
    this.code = code;
    this.hint = options.hint;
  }

  /** The same as a plain value that can be sent. */
  toFailure(): Failure {
    return { code: this.code, message: this.message, ...(this.hint === undefined ? {} : { hint: this.hint }) };
  }
}

/** Any thrown value as a `Failure`; `fallback` is the code of what carries none. */
export function failureOf(error: unknown, fallback: ErrorCode = 'TESSERA_INTERNAL'): Failure {
  if (error instanceof TesseraError) return error.toFailure();
  return { code: fallback, message: error instanceof Error ? error.message : String(error) };
}
