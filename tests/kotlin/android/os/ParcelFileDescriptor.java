package android.os;

/** What bindings/kotlin/android uses of Android's class of this name. */
public class ParcelFileDescriptor {
    private final int descriptor;

    public ParcelFileDescriptor(int descriptor) { this.descriptor = descriptor; }

    public int getFd() { return descriptor; }
}
