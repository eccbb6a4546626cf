// The network in a browser: open() it, then matte() pictures. Nothing of a picture leaves the page.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const WIDEST = 2; // a picture whose sides differ by more is extended by mirroring, as mmnet predict does it

// threads: of WebAssembly; more than one takes the two headers of serve.js.
export async function open(model = "network.onnx", threads = navigator.hardwareConcurrency) {
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threads : 1;
  const card = await (await fetch(model + ".json")).json();
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const [height, width] = card.network.shape;
  return { session, height, width };
}

// The alpha of an ImageData at its own size: Float32Array of height x width, 0..1.
export async function matte(network, image) {
  const { width, height } = image;
  const above = Math.ceil(Math.max(0, Math.round(width / WIDEST) - height) / 2);
  const left = Math.ceil(Math.max(0, Math.round(height / WIDEST) - width) / 2);
  const rows = grid(height + 2 * above, network.height).map((at) => mirrored(at, above, height));
  const columns = grid(width + 2 * left, network.width).map((at) => mirrored(at, left, width));
  const seen = sampled(image.data, width, 4, 3, rows, columns);
  const input = new ort.Tensor("float32", seen, [1, network.height, network.width, 3]);
  const alpha = (await network.session.run({ input_x: input })).output.data;
  const up = grid(network.height, height + 2 * above).slice(above, above + height);
  const across = grid(network.width, width + 2 * left).slice(left, left + width);
  return sampled(alpha, network.width, 1, 1, up, across);
}

// Where each of `after` pixels lies among `before`, corners aligned: [index, next index, weight of the next].
function grid(before, after) {
  const scale = after > 1 ? (before - 1) / (after - 1) : 0;
  return Array.from({ length: after }, (_, k) => {
    const low = Math.min(Math.floor(k * scale), before - 1);
    return [low, Math.min(low + 1, before - 1), k * scale - low];
  });
}

function mirrored([low, next, weight], margin, length) {
  return [reflect(low - margin, length), reflect(next - margin, length), weight];
}

function reflect(at, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const inside = ((at % period) + period) % period;
  return inside < length ? inside : period - inside;
}

// Bilinear samples of the first `kept` of a picture's `channels`.
function sampled(data, width, channels, kept, rows, columns) {
  const result = new Float32Array(rows.length * columns.length * kept);
  let to = 0;
  for (const [above, below, down] of rows)
    for (const [left, right, across] of columns)
      for (let c = 0; c < kept; c++) {
        const a = data[(above * width + left) * channels + c], b = data[(above * width + right) * channels + c];
        const d = data[(below * width + left) * channels + c], e = data[(below * width + right) * channels + c];
        const top = a + across * (b - a);
        result[to++] = top + down * (d + across * (e - d) - top);
      }
  return result;
}
