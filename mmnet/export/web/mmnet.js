// Run the network in the browser: open() loads it, matte() computes the alpha of an image.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const MAX_ASPECT_RATIO = 2; // longer images are extended by mirroring, as in mmnet predict

// threads: WebAssembly threads. More than one needs the two headers of serve.js.
export async function open(model = "network.onnx", threads = navigator.hardwareConcurrency) {
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threads : 1;
  const card = await (await fetch(model + ".json")).json();
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const [height, width] = card.network.shape;
  return { session, height, width };
}

// Compute the alpha of an ImageData at its own size: Float32Array of height x width, 0..1.
export async function matte(network, image) {
  const { width, height } = image;
  const top = Math.ceil(Math.max(0, Math.round(width / MAX_ASPECT_RATIO) - height) / 2);
  const left = Math.ceil(Math.max(0, Math.round(height / MAX_ASPECT_RATIO) - width) / 2);
  const rows = grid(height + 2 * top, network.height).map((position) => mirror(position, top, height));
  const columns = grid(width + 2 * left, network.width).map((position) => mirror(position, left, width));
  const pixels = sample(image.data, width, 4, 3, rows, columns);
  const input = new ort.Tensor("float32", pixels, [1, network.height, network.width, 3]);
  const alpha = (await network.session.run({ input_x: input })).output.data;
  const up = grid(network.height, height + 2 * top).slice(top, top + height);
  const across = grid(network.width, width + 2 * left).slice(left, left + width);
  return sample(alpha, network.width, 1, 1, up, across);
}

// Positions of `after` pixels among `before` pixels, with aligned corners: [index, next index, weight of the next].
function grid(before, after) {
  const scale = after > 1 ? (before - 1) / (after - 1) : 0;
  return Array.from({ length: after }, (_, k) => {
    const low = Math.min(Math.floor(k * scale), before - 1);
    return [low, Math.min(low + 1, before - 1), k * scale - low];
  });
}

function mirror([low, next, weight], margin, length) {
  return [reflect(low - margin, length), reflect(next - margin, length), weight];
}

function reflect(index, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const inside = ((index % period) + period) % period;
  return inside < length ? inside : period - inside;
}

// Sample the first `count` of the `channels` of an image bilinearly.
function sample(data, width, channels, count, rows, columns) {
  const result = new Float32Array(rows.length * columns.length * count);
  let to = 0;
  for (const [above, below, down] of rows)
    for (const [left, right, across] of columns)
      for (let c = 0; c < count; c++) {
        const a = data[(above * width + left) * channels + c], b = data[(above * width + right) * channels + c];
        const d = data[(below * width + left) * channels + c], e = data[(below * width + right) * channels + c];
        const top = a + across * (b - a);
        result[to++] = top + down * (d + across * (e - d) - top);
      }
  return result;
}
