/**
 * ONNX Runtime's packages send usage data to Microsoft and leave a log file per process in the temporary folder, unless
 * this variable is set before its first session. (With a long command line the telemetry even crashes the process:
 * onnxruntime-node 1.30.) Import this before starting a thread that loads the runtime: threads have a copy of
 * `process.env`, the runtime reads the process's own.
 */
process.env.ORT_DISABLE_TELEMETRY = '1';
