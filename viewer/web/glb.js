// Reading what the page carries: base64 and binary glTF (one mesh, one primitive, as this program writes it).

function bytesOf(id) {
  const text = atob(document.getElementById(id).textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const COMPONENTS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };
const ARRAYS = { 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };

function readGlb(bytes) {
  const head = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (head.getUint32(0, true) !== 0x46546c67) throw new Error("the mesh is not binary glTF");
  const jsonLength = head.getUint32(12, true);
  const tree = JSON.parse(new TextDecoder().decode(bytes.subarray(20, 20 + jsonLength)));
  const binary = bytes.byteOffset + 20 + jsonLength + 8;
  const view = index => {
    const entry = tree.bufferViews[index];
    return [binary + (entry.byteOffset || 0), entry.byteLength];
  };
  const array = index => {
    if (index === undefined) return null;
    const entry = tree.accessors[index], count = entry.count * COMPONENTS[entry.type];
    const size = ARRAYS[entry.componentType].BYTES_PER_ELEMENT, start = view(entry.bufferView)[0];
    return new ARRAYS[entry.componentType](bytes.buffer.slice(start, start + count * size));
  };
  const primitive = tree.meshes[0].primitives[0], attributes = primitive.attributes;
  let picture = null;
  if (tree.images) {
    const [start, length] = view(tree.images[0].bufferView);
    picture = new Blob([bytes.buffer.slice(start, start + length)], { type: tree.images[0].mimeType });
  }
  return {
    translation: tree.nodes[0].translation || [0, 0, 0],
    positions: array(attributes.POSITION),
    normals: array(attributes.NORMAL),
    uv: array(attributes.TEXCOORD_0),
    colors: array(attributes.COLOR_0),  // linear, 16 bits, four channels
    indices: array(primitive.indices),
    picture,
  };
}

// Positions in the page's own frame, where everything shown is in the unit sphere; in double precision, because worlds can be large.
function toLocal(positions, translation, center, radius) {
  const out = new Float32Array(positions.length);
  for (let i = 0; i < out.length; i++) out[i] = (positions[i] + (translation[i % 3] - center[i % 3])) / radius;
  return out;
}
