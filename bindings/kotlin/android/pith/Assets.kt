package pith

import android.content.res.AssetFileDescriptor

/**
 * A model that lies in an application's archive, without compression (`noCompress += "gguf"`):
 * `assets.openFd("model.gguf").use { Model.open(it) }`. Archives align what they hold to 4 bytes, so that it is mapped one time in
 * sixteen, and read into memory otherwise. A large model is better a file of its own, which Model.open(path) maps.
 */
fun Model.Companion.open(asset: AssetFileDescriptor): Model =
    open(asset.parcelFileDescriptor.fd, asset.startOffset, asset.length)
