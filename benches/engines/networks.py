"""The networks in PyTorch, from which the files of all peers are made.

Each is written once more, plainly, by its paper, and takes the weights that our own side has written, by the names that they
have there: so the comparison of the outputs checks both descriptions. What only runs is folded: a batch normalisation is
part of the convolution before it, and there is no dropout.
"""
import torch
from torch import nn
from torch.nn import functional


class Reader:
    """Hands out tensors by name."""

    def __init__(self, tensors):
        self.tensors = tensors

    def __call__(self, name):
        return self.tensors[name].to(torch.float32).clone()

    def linear(self, name):
        weight = self(f"{name}.weight")
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data, layer.bias.data = weight, self(f"{name}.bias")
        return layer

    def norm(self, name, epsilon):
        weight = self(f"{name}.weight")
        layer = nn.LayerNorm(len(weight), eps=epsilon)
        layer.weight.data, layer.bias.data = weight, self(f"{name}.bias")
        return layer

    def convolution(self, name, norm, epsilon, stride=1, padding=0, groups=1):
        """A convolution without bias, and the batch normalisation behind it, computed in f64 and rounded once."""
        weight = self(f"{name}.weight").double()
        gain, shift, mean, variance = (
            self(f"{norm}.{part}").double() for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / torch.sqrt(variance + epsilon)
        outputs, inputs, size, _ = weight.shape
        layer = nn.Conv2d(inputs * groups, outputs, size, stride, padding, groups=groups)
        layer.weight.data = (weight * factor[:, None, None, None]).float()
        layer.bias.data = (shift - mean * factor).float()
        return layer


class Padded(nn.Module):
    """TensorFlow's padding, of a picture whose size is known: the greater half of an odd number of zeros comes after."""

    def __init__(self, pixels, layer):
        super().__init__()
        size, stride = layer.kernel_size[0], layer.stride[0]
        zeros = max(0, (-(-pixels // stride) - 1) * stride + size - pixels)
        before, after = zeros // 2, zeros - zeros // 2
        self.pads = (before, after, before, after)
        self.is_even = before == after
        if self.is_even:
            layer.padding = (before, before)
        self.layer = layer

    def forward(self, x):
        return self.layer(x if self.is_even else functional.pad(x, self.pads))


class Block(nn.Module):
    """An inverted residual: wider, depthwise, narrower."""

    def __init__(self, expand, depthwise, project, is_residual):
        super().__init__()
        wider = [expand, nn.ReLU6()] if expand else []
        self.layers = nn.Sequential(*wider, depthwise, nn.ReLU6(), project)
        self.is_residual = is_residual

    def forward(self, x):
        return x + self.layers(x) if self.is_residual else self.layers(x)


class Classified(nn.Module):
    """A map, the mean of its pixels, and one matrix."""

    def __init__(self, layers, classifier):
        super().__init__()
        self.layers, self.classifier = nn.Sequential(*layers), classifier

    def forward(self, x):
        return self.classifier(self.layers(x).mean((2, 3)))


def mobilenet_v2(read):
    """Sandler et al., 2018."""
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    layer = lambda name, norm, *more: read.convolution(name, norm, 1e-5, *more)
    layers, inputs = [layer("conv_stem", "bn1", 2, 1), nn.ReLU6()], 32
    for stage, (expand, outputs, repeat, first_stride) in enumerate(stages):
        for index in range(repeat):
            part, stride = f"blocks.{stage}.{index}.", 1 if index else first_stride
            hidden = inputs * expand
            if expand == 1:
                wider, names = None, ("conv_dw", "bn1", "conv_pw", "bn2")
            else:
                wider, names = layer(part + "conv_pw", part + "bn1"), ("conv_dw", "bn2", "conv_pwl", "bn3")
            depthwise, depthwise_norm, project, project_norm = (part + name for name in names)
            layers.append(Block(
                wider, layer(depthwise, depthwise_norm, stride, 1, hidden), layer(project, project_norm),
                stride == 1 and inputs == outputs,
            ))
            inputs = outputs
    layers += [layer("conv_head", "bn2"), nn.ReLU6()]
    return Classified(layers, read.linear("classifier"))


def efficientnet_lite0(read):
    """Tan and Le, 2019, without squeeze-and-excite."""
    stages = [
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ]
    layer = lambda name, norm, *more: read.convolution(name, norm, 1e-3, *more)
    layers = [Padded(224, layer("_conv_stem", "_bn0", 2)), nn.ReLU6()]
    inputs, pixels, index = 32, 112, 0
    for repeat, _, first_stride, expand, outputs in stages:
        for repetition in range(repeat):
            part, stride = f"_blocks.{index}.", 1 if repetition else first_stride
            hidden = inputs * expand
            layers.append(Block(
                layer(part + "_expand_conv", part + "_bn0") if expand > 1 else None,
                Padded(pixels, layer(part + "_depthwise_conv", part + "_bn1", stride, 0, hidden)),
                layer(part + "_project_conv", part + "_bn2"),
                stride == 1 and inputs == outputs,
            ))
            inputs, pixels, index = outputs, -(-pixels // stride), index + 1
    layers += [layer("_conv_head", "_bn1"), nn.ReLU6()]
    return Classified(layers, read.linear("_fc"))


class Residual(nn.Module):
    def __init__(self, first, second, shortcut):
        super().__init__()
        self.first, self.second, self.shortcut = first, second, shortcut

    def forward(self, x):
        other = self.shortcut(x) if self.shortcut is not None else x
        return functional.relu(other + self.second(functional.relu(self.first(x))))


def resnet18(read):
    """He et al., 2016."""
    layer = lambda name, norm, *more: read.convolution(name, norm, 1e-5, *more)
    layers = [layer("conv1", "bn1", 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for stage in range(1, 5):
        for index in range(2):
            part, stride = f"layer{stage}.{index}.", 2 if stage > 1 and index == 0 else 1
            layers.append(Residual(
                layer(part + "conv1", part + "bn1", stride, 1), layer(part + "conv2", part + "bn2", 1, 1),
                layer(part + "downsample.0", part + "downsample.1", stride) if stride == 2 else None,
            ))
    return Classified(layers, read.linear("fc"))


class Attention(nn.Module):
    def __init__(self, qkv, projection, heads):
        super().__init__()
        self.qkv, self.projection, self.heads = qkv, projection, heads

    def forward(self, x):
        rows, columns = x.shape[1], x.shape[2]
        split = lambda part: part.reshape(1, rows, self.heads, columns // self.heads).transpose(1, 2)
        q, k, v = (split(part) for part in self.qkv(x).split(columns, dim=2))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.projection(mixed.transpose(1, 2).reshape(1, rows, columns))


class Perceptron(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.inner, self.outer = inner, outer

    def forward(self, x):
        return self.outer(functional.gelu(self.inner(x)))


class VisionLayer(nn.Module):
    def __init__(self, read, part, heads, is_scaled):
        super().__init__()
        self.norm1, self.norm2 = read.norm(part + "norm1", 1e-6), read.norm(part + "norm2", 1e-6)
        self.attention = Attention(read.linear(part + "attn.qkv"), read.linear(part + "attn.proj"), heads)
        self.perceptron = Perceptron(read.linear(part + "mlp.fc1"), read.linear(part + "mlp.fc2"))
        # A factor for each column goes into the matrix before it.
        for layer, scale in [(self.attention.projection, "ls1"), (self.perceptron.outer, "ls2")] if is_scaled else []:
            factors = read(f"{part}{scale}.gamma")
            layer.weight.data *= factors[:, None]
            layer.bias.data *= factors

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.perceptron(self.norm2(x))


class VisionTransformer(nn.Module):
    """Dosovitskiy et al., 2021; Oquab et al., 2023: the last norm's rows, the class token first."""

    def __init__(self, read, heads, is_scaled):
        super().__init__()
        weight = read("patch_embed.proj.weight")
        self.embedding = nn.Conv2d(3, weight.shape[0], weight.shape[2], weight.shape[2])
        self.embedding.weight.data, self.embedding.bias.data = weight, read("patch_embed.proj.bias")
        positions = read("pos_embed")
        # The class token always has the first place.
        self.first = nn.Parameter(read("cls_token") + positions[:, :1])
        self.positions = nn.Parameter(positions[:, 1:])
        self.layers = nn.Sequential(*(VisionLayer(read, f"blocks.{index}.", heads, is_scaled) for index in range(12)))
        self.norm = read.norm("norm", 1e-6)

    def forward(self, x):
        x = self.embedding(x).flatten(2).transpose(1, 2)
        return self.norm(self.layers(torch.cat([self.first, x + self.positions], dim=1)))


class SentenceLayer(nn.Module):
    def __init__(self, read, part):
        super().__init__()
        qkv = [read.linear(f"{part}attention.self.{name}") for name in ("query", "key", "value")]
        joined = nn.Linear(384, 3 * 384)
        joined.weight.data = torch.cat([layer.weight.data for layer in qkv])
        joined.bias.data = torch.cat([layer.bias.data for layer in qkv])
        self.attention = Attention(joined, read.linear(part + "attention.output.dense"), 12)
        self.perceptron = Perceptron(read.linear(part + "intermediate.dense"), read.linear(part + "output.dense"))
        self.norm1 = read.norm(part + "attention.output.LayerNorm", 1e-12)
        self.norm2 = read.norm(part + "output.LayerNorm", 1e-12)

    def forward(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.perceptron(x))


class SentenceEncoder(nn.Module):
    """Wang et al., 2020: BERT's encoder with 6 layers, and the mean of its rows. One sentence at a time: there is no mask."""

    def __init__(self, read, tokens):
        super().__init__()
        self.words = nn.Embedding.from_pretrained(read("embeddings.word_embeddings.weight"))
        segments = read("embeddings.token_type_embeddings.weight")
        positions = read("embeddings.position_embeddings.weight")[:tokens] + segments[0]
        self.positions = nn.Parameter(positions[None])
        self.norm = read.norm("embeddings.LayerNorm", 1e-12)
        self.layers = nn.Sequential(*(SentenceLayer(read, f"encoder.layer.{index}.") for index in range(6)))

    def forward(self, tokens):
        return self.layers(self.norm(self.words(tokens) + self.positions)).mean(1)


def network(name, tensors, case):
    """The network `name` with weights from `tensors`, and an input that it takes: the one of `case`, `[row][column][colour]` as
    `[1][colour][row][column]`, or words."""
    read = Reader(tensors)
    made = {
        "mobilenet-v2": lambda: mobilenet_v2(read),
        "efficientnet-lite0": lambda: efficientnet_lite0(read),
        "resnet18": lambda: resnet18(read),
        "vit-tiny": lambda: VisionTransformer(read, 3, False),
        "dinov2-small": lambda: VisionTransformer(read, 6, True),
        "minilm": lambda: SentenceEncoder(read, case.numel()),
    }[name.rpartition("@")[0] or name]()
    if case.dtype == torch.float32:
        side = round((case.numel() // 3) ** 0.5)
        example = case.reshape(1, side, side, 3).permute(0, 3, 1, 2).contiguous()
    else:
        example = case.reshape(1, -1).to(torch.int64)
    return made.eval().requires_grad_(False), example
