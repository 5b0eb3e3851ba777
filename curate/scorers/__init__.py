"""Scorers: the networks inside reward raters. The only package that imports torch; what a card names as its engine is found here.

towers, matching    pictures and prompts: two towers and heads on them, cross-attention between the two
vlm                 vision-language models that give a reward or the probability of an answer
references          likeness to a reference or a source
detectors           objects, artefacts and marks that are found in a picture
measures            measures of the pixels, without a network of torch
adapters            networks and metrics of others: ONNX models, pyiqa

network             what all raters with a network share: the two doors to each of them
device_batches      batches on a device: computed, fetched, halved where they do not fit in memory
passes, staging     what goes into a network and comes out; how it is put together while the device computes
sharing             networks that are loaded once in a process, and what was computed of equal inputs
devices, precision  on which device a network runs and how exactly, and float32 that is float32
transfers           between main memory and the device without waiting
libraries           transformers, OpenCLIP and their like, imported without their known troubles

arguments           the `args` of a card as the typed settings of its engine
picture_arguments   those about the square that a network looks at
pixels, reading     how a picture becomes that square; what is to be said of a text that was not read as it was written
vectors             directions in the spaces that networks embed into

pretrained, states  weights with a config as transformers saved them, and weights in one file: safetensors, fitted strictly
pickles             which files of weights are pickles, and where their converted form lies
convert             `curate raters convert`, which starts a confined process to read one
convert_process     that process
array_pickles       pickles of numpy arrays, read without running anything of them

doors, scoring      a scorer by the name of its card, to be called in notebooks and training
pictures, losses    pictures in memory as items, and the losses that train through scores

parity              `curate raters parity`: a rater against the numbers of its original
parity_heads        heads alone, without their encoder
golden, shelf       those numbers as data, and the pictures that they name by their hash
"""
