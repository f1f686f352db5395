//! A network on candle's tensors, operation by operation: slow, but general and written by others. What a plan is checked
//! against.
//!
//! Thread: any; candle also computes on rayon's threads. Allocates: yes, hundreds of times a forward.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops;

use super::network::{Activation, Network, Op, Shape, Window};
use super::plan::{Input, Inputs};

/// A network as candle runs it.
pub struct Reference {
    network: Network,
    /// The weights of each operation, in the order in which it names them.
    weights: Vec<Vec<Tensor>>,
}

impl Reference {
    /// # Errors
    /// candle's.
    pub fn new(network: &Network) -> Result<Self> {
        let shapes = &network.shapes;
        let weights = network.ops.iter().zip(shapes).map(|(op, shape)| {
            let table = |values, columns| rows(values, columns);
            Ok(match op {
                Op::Words { table: all }
                | Op::Constant { rows: all }
                | Op::Positions { table: all, .. }
                | Op::Scale { factors: all, .. } => vec![table(all, shape.columns)?],
                Op::Linear { x, layer } => vec![
                    table(&layer.weights, network.shape(*x).columns)?.t()?,
                    table(&layer.bias, shape.columns)?,
                ],
                Op::LayerNorm { norm, .. } => vec![
                    Tensor::new(&*norm.gain, &Device::Cpu)?,
                    Tensor::new(&*norm.shift, &Device::Cpu)?,
                ],
                Op::Convolution { layer, .. } => {
                    let (outputs, size) = (layer.bias.len(), layer.window.size);
                    let inputs = layer.weights.len() / (outputs * size * size);
                    let shape = (outputs, inputs, size, size);
                    vec![
                        Tensor::from_slice(&layer.weights, shape, &Device::Cpu)?,
                        Tensor::from_slice(&layer.bias, (1, outputs, 1, 1), &Device::Cpu)?,
                    ]
                }
                _ => Vec::new(),
            })
        });
        Ok(Self {
            network: network.clone(),
            weights: weights.collect::<Result<_>>()?,
        })
    }

    /// The output's rows for sequences of the given lengths.
    ///
    /// # Errors
    /// candle's.
    pub fn run<'a>(&self, inputs: impl Into<Inputs<'a>>, lengths: &[usize]) -> Result<Vec<f32>> {
        let Inputs { input, conditions } = inputs.into();
        let (mut output, mut first) = (Vec::new(), 0);
        for (sequence, &len) in lengths.iter().enumerate() {
            let of = conditions.iter().map(|values| {
                let columns = values.len() / lengths.len();
                rows(&values[sequence * columns..][..columns], columns)
            });
            let conditions: Vec<Tensor> = of.collect::<Result<_>>()?;
            let columns = self.network.shapes.first().map_or(0, |s| s.columns);
            let part = match input {
                Input::Words(words) => Tensor::new(&words[first..first + len], &Device::Cpu)?,
                Input::Picture(values) => Tensor::new(values, &Device::Cpu)?,
                Input::Rows(values) => rows(&values[first * columns..][..len * columns], columns)?,
            };
            output.extend(self.sequence(&part, &conditions)?);
            first += len;
        }
        Ok(output)
    }

    fn sequence(&self, input: &Tensor, conditions: &[Tensor]) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        let ops = self.network.ops.iter().zip(&self.network.shapes);
        for ((op, shape), weights) in ops.zip(&self.weights) {
            let value = apply((op, *shape), weights, (input, conditions), &values)?;
            values.push(value);
        }
        match values.last() {
            // [1, channel, row, column] as [row, column, channel].
            Some(output) if output.rank() == 4 => {
                output.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()
            }
            Some(output) => output.flatten_all()?.to_vec1(),
            None => Ok(Vec::new()),
        }
    }
}

fn rows(values: &[f32], columns: usize) -> Result<Tensor> {
    Tensor::from_slice(values, (values.len() / columns, columns), &Device::Cpu)
}

fn apply(
    (op, shape): (&Op, Shape),
    weights: &[Tensor],
    (input, conditions): (&Tensor, &[Tensor]),
    values: &[Tensor],
) -> Result<Tensor> {
    let value = |index: super::network::Value| &values[index.index()];
    match *op {
        Op::Words { .. } => weights[0].index_select(input, 0),
        Op::Rows => Ok(input.clone()),
        Op::Patches { side, patch } => {
            let count = side / patch;
            let pixels = input.reshape((count, patch, count, patch * 3))?;
            let patches = pixels.permute((0, 2, 1, 3))?.contiguous()?;
            patches.reshape((count * count, patch * patch * 3))
        }
        Op::Condition { index } => Ok(conditions[index].clone()),
        Op::Constant { .. } => Ok(weights[0].clone()),
        // [1, channel, row, column] as [row x column, channel].
        Op::Pixels { x } => value(x).squeeze(0)?.flatten_from(1)?.t()?.contiguous(),
        Op::Join { x, y } => Tensor::cat(&[value(x), value(y)], 0),
        Op::Film { x, gains, shifts } => {
            let one_each = |factors: &Tensor| match value(x).rank() {
                // [1, channel] as [1, channel, 1, 1].
                4 => factors.unsqueeze(2)?.unsqueeze(3),
                _ => Ok(factors.clone()),
            };
            let gains = (one_each(value(gains))? + 1.0)?;
            let scaled = value(x).broadcast_mul(&gains)?;
            scaled.broadcast_add(&one_each(value(shifts))?)
        }
        Op::Positions { x, .. } => value(x) + weights[0].narrow(0, 0, value(x).dim(0)?)?,
        Op::Linear { x, .. } => value(x).matmul(&weights[0])?.broadcast_add(&weights[1]),
        Op::Activate { x, activation } => activate(value(x), activation),
        Op::Scale { x, .. } => value(x).broadcast_mul(&weights[0]),
        Op::Add { x, y } => value(x) + value(y),
        Op::LayerNorm { x, ref norm } => {
            ops::layer_norm(value(x), &weights[0], &weights[1], norm.epsilon)
        }
        Op::Attention { reads, heads } => {
            let columns = shape.columns;
            let [q, k, v] = reads.all().map(|part| {
                let all = value(part.of);
                all.narrow(1, part.first, columns)
            });
            attention(q?, k?, v?, heads)
        }
        Op::Picture { height, width } => {
            let pixels = input.reshape((1, height, width, 3))?;
            pixels.permute((0, 3, 1, 2))?.contiguous()
        }
        Op::Convolution { x, ref layer } => {
            let groups = if layer.is_depthwise {
                layer.bias.len()
            } else {
                1
            };
            let padded = padded(value(x), layer.window)?;
            let sums = padded.conv2d(&weights[0], 0, layer.window.stride, 1, groups)?;
            sums.broadcast_add(&weights[1])
        }
        Op::MaxPool { x, window } => {
            // candle pads with zeros alone, which could be larger than the values.
            let least = value(x).min_all()?.to_scalar::<f32>()?;
            let shifted = (value(x) - f64::from(least))?;
            let padded = padded(&shifted, window)?;
            padded.max_pool2d_with_stride(window.size, window.stride)? + f64::from(least)
        }
        Op::Mean { x } if value(x).rank() == 4 => value(x).mean((2, 3)),
        Op::Mean { x } => value(x).mean_keepdim(0),
        Op::Take { x, row } => value(x).narrow(0, row, 1),
    }
}

fn padded(x: &Tensor, window: Window) -> Result<Tensor> {
    let (before, after) = (window.before, window.after);
    x.pad_with_zeros(2, before, after)?
        .pad_with_zeros(3, before, after)
}

fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.clamp(0f32, 6f32),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Silu => x.silu(),
    }
}

fn attention(q: Tensor, k: Tensor, v: Tensor, heads: usize) -> Result<Tensor> {
    let (len, columns) = q.dims2()?;
    let head_len = columns / heads;
    // [rows, heads x head_len] as [heads, rows, head_len].
    let by_head = |x: Tensor| {
        let rows = x.dim(0)?;
        x.reshape((rows, heads, head_len))?
            .transpose(0, 1)?
            .contiguous()
    };
    let (q, k, v) = (by_head(q)?, by_head(k)?, by_head(v)?);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred at most")]
    let scale = 1.0 / (head_len as f64).sqrt();
    let scores = (q.matmul(&k.transpose(D::Minus2, D::Minus1)?)? * scale)?;
    let mixed = ops::softmax_last_dim(&scores)?.matmul(&v)?;
    mixed.transpose(0, 1)?.reshape((len, columns))
}
