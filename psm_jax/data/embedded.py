"""Where the tables of launch.embed are, and what they say of themselves.

Below WORKDIR, a Parquet file a model, person and video, called
<model_id>/<person_id>/<video_id>.parquet:

embeddings/               the frames by the trained models, and their labels
controls/random_encoder/  by the weights from which the models began
controls/pixel_pca/       as 32 x 32 grey pixels, model_id grey
flows/                    how far the face is moved from its neutral place
driven/                   the frames' movement on the neutral face of another
                          video of the person, as 32 x 32 grey pixels, and sums
                          of squares (psm_jax/evaluation/driven.py)
neutral_faces/            the neutral faces that networks made of the frames, as
                          32 x 32 grey pixels
steps/<step>/             labelled frames at every checkpoint that was kept
pictures/<model_id>.npz   what a model makes of example frames: these show faces
pictures/films/           the same as films, see psm_jax/embedding/films.py

The tables have the columns model_id, person_id, video_id, frame, time_s and
e000, e001, ... `pd.read_parquet(path).attrs` says of what they are: model_id,
step (of the run's checkpoint), state (a hash of the model's parameters), config
(a hash of the experiment), unit_length (whether the method says that only the
direction of an embedding counts) and schema_version.
"""

SCHEMA_VERSION = 1
EMBEDDINGS = 'embeddings'
RANDOM_ENCODER = 'controls/random_encoder'
PIXELS = 'controls/pixel_pca'
FLOWS = 'flows'
DRIVEN = 'driven'
NEUTRAL_FACES = 'neutral_faces'
STEPS = 'steps'
PICTURES = 'pictures'
FILMS, TRANSFER = 'pictures/films', 'transfer'
GREY = 'grey'  # The model_id of pixels.
FLOW_CELLS = 8  # A flow is told on 8 x 8 cells, of dy and dx each.
